"""Logs: one line for people, one JSON object for machines."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from kubeai.telemetry.logs import setup_logging


@pytest.fixture(autouse=True)
def _root_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_lines_carry_message_context_and_extra_fields() -> None:
    out = io.StringIO()
    setup_logging("info", "json", out)
    logging.getLogger("kubeai.gateway").warning("no endpoint for %s", "m", extra={"request_id": "r1"})
    entry = json.loads(out.getvalue())
    assert entry.pop("time").endswith("+00:00")
    assert entry == {
        "level": "warning",
        "logger": "kubeai.gateway",
        "message": "no endpoint for m",
        "request_id": "r1",
    }


def test_console_lines_are_short_and_carry_the_same() -> None:
    out = io.StringIO()
    setup_logging(logging.INFO, "console", out)
    logging.getLogger("kubeai.gateway").warning("no endpoint", extra={"request_id": "r1"})
    assert out.getvalue()[9:] == "WARNING gateway: no endpoint request_id=r1\n"


@pytest.mark.parametrize("format", ["json", "console"])
def test_an_exception_is_told_with_its_traceback(format: str) -> None:
    out = io.StringIO()
    setup_logging("INFO", "json" if format == "json" else "console", out)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("kubeai").exception("failed")
    assert "Traceback" in out.getvalue()
    assert "broken" in out.getvalue()


def test_lines_under_the_level_are_left_out() -> None:
    out = io.StringIO()
    setup_logging("warning", "console", out)
    logging.getLogger("kubeai").info("detail")
    assert out.getvalue() == ""


def test_a_second_call_replaces_the_first() -> None:
    first, second = io.StringIO(), io.StringIO()
    setup_logging("INFO", "console", first)
    setup_logging("INFO", "console", second)
    logging.getLogger("kubeai").info("once")
    assert (first.getvalue(), second.getvalue().count("once")) == ("", 1)


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="Unknown level"):
        setup_logging("LOUD")
