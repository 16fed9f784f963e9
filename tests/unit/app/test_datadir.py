"""Only one instance owns a data directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kubeai.app.datadir import DataDir, api_token, open_data_dir
from kubeai.app.errors import StartError


def test_a_second_owner_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    _, lock = open_data_dir(tmp_path / "data")
    with lock, pytest.raises(StartError, match=rf"in use by another instance \(process {os.getpid()}\)"):
        open_data_dir(tmp_path / "data")


def test_a_released_directory_can_be_owned_again(tmp_path: Path) -> None:
    for _ in range(2):
        _, lock = open_data_dir(tmp_path / "data")
        lock.close()


def test_only_the_user_can_look_into_the_directory(tmp_path: Path) -> None:
    directory, lock = open_data_dir(tmp_path / "data")
    with lock:
        assert directory.root.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="file/data cannot be used: Not a directory; choose another"):
        open_data_dir(tmp_path / "file" / "data")


def test_the_token_is_made_once_and_for_the_user_alone(tmp_path: Path) -> None:
    directory = DataDir(tmp_path)
    token = api_token(directory)
    assert len(token) > 30
    assert api_token(directory) == token
    assert directory.token.stat().st_mode & 0o777 == 0o600


def test_a_token_that_was_not_written_to_its_end_is_made_anew(tmp_path: Path) -> None:
    directory = DataDir(tmp_path)
    directory.token.touch()
    assert len(api_token(directory)) > 30
