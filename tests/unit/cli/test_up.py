"""What `kubeai up` tells its user, and `kubeai engines`. Running it is for the end-to-end tests."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from kubeai.app.local import Ready
from kubeai.cli.reference import markdown
from kubeai.cli.running import announcement

from .conftest import CommandLine


def ready(*models: str) -> Ready:
    return Ready("http://127.0.0.1:8000", Path("/data dir/kubeconfig"), models)


def test_the_announcement_can_be_copied_into_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/opt/my venv/bin/kubeai"])
    assert announcement(ready("smollm2"), Path("/data dir")) == (
        "KubeAI is ready.\n"
        "  OpenAI API   http://127.0.0.1:8000/openai/v1\n"
        "  kubectl      export KUBECONFIG='/data dir/kubeconfig'\n"
        "  Models       smollm2\n"
        "\n"
        "Next, in another terminal:  '/opt/my venv/bin/kubeai' chat smollm2 --data-dir '/data dir'\n"
        "Ctrl-C stops it and its model servers."
    )


def test_without_models_the_next_step_is_to_apply_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["kubeai"])
    assert "kubeai apply -f FILE\n" in announcement(ready(), tmp_path / "kubeai")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--port", "70000"], id="a port that does not exist"),
        pytest.param(["--model", "/nowhere.yaml"], id="a manifest that does not exist"),
        pytest.param(["--config", "/nowhere.yaml"], id="a configuration that does not exist"),
        pytest.param(["--log-format", "xml"], id="a format that does not exist"),
    ],
)
def test_wrong_options_of_up_are_usage_errors(kubeai: CommandLine, arguments: list[str]) -> None:
    assert kubeai("up", *arguments).code == 2
    assert not kubeai.data_dir.exists()


def test_manager_says_which_configuration_is_missing(kubeai: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kubeai.data_dir.parent)
    done = kubeai("manager")
    assert (done.code, done.err) == (1, "error: config.yaml: cannot be read: No such file or directory\n")


def test_engines_are_listed_with_what_to_do(kubeai: CommandLine) -> None:
    kubeai.env["PATH"] = "/nowhere"
    rows = {row["name"]: row for row in json.loads(kubeai("engines", "list", "-o", "json").out)}
    assert rows["llamacpp"]["status"] == "not installed"
    assert rows["llamacpp"]["where"] == "kubeai engines install llamacpp"
    assert rows["ollama"]["status"] == "not found"
    assert kubeai("engines", "list").out.startswith("NAME ")


def test_an_engine_on_the_path_is_shown_and_not_installed(kubeai: CommandLine, tmp_path: Path) -> None:
    server = tmp_path / "bin" / "llama-server"
    server.parent.mkdir()
    server.touch(mode=0o755)
    kubeai.env["PATH"] = str(server.parent)
    assert f"on PATH         {server}" in kubeai("engines", "list").out
    assert kubeai("engines", "install", "llamacpp").out == f"llamacpp is there already: {server}\n"


def test_an_unknown_engine_is_named_with_those_there_are(kubeai: CommandLine) -> None:
    for verb in ("install", "remove"):
        done = kubeai("engines", verb, "nope")
        assert (done.code, "there is no engine 'nope'; known are llamacpp" in done.err) == (1, True)


def test_remove_deletes_what_was_installed_unless_it_may_be_in_use(kubeai: CommandLine) -> None:
    installed = kubeai.data_dir / "engines" / "llamacpp"
    assert f"llamacpp is not installed in {kubeai.data_dir}" in kubeai("engines", "remove", "llamacpp").err
    installed.mkdir(parents=True)
    (kubeai.data_dir / "kubeconfig").touch()
    (kubeai.data_dir / "lock").write_text(str(os.getpid()))
    assert "stop it first" in kubeai("engines", "remove", "llamacpp").err
    (kubeai.data_dir / "lock").unlink()
    assert kubeai("engines", "remove", "llamacpp").out == f"llamacpp is removed from {kubeai.data_dir}\n"
    assert not installed.exists()


def test_the_reference_page_has_every_verb_and_option() -> None:
    page = markdown()
    for part in (
        "## kubeai up\n",
        "## kubeai engines install\n",
        "$ kubeai get [TYPE|NAME...] [OPTIONS]\n",
        "$ kubeai get smollm2 -o yaml    # one Model as it is stored\n",
        "| `--port` `N` | `8000` | Its port; 0 takes a free one. |\n",
        "| `--replicas`, `-r` `N` | required | How many. |\n",
        "| `--output`, `-o` `table\\|wide\\|yaml\\|json\\|name` | `table` | How to print. |\n",
    ):
        assert part in page
