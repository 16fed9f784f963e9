"""The page that people open with a reason in hand must know it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from kubeai.planning.reasons import Reason

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "troubleshoot.md"


def test_each_reason_is_explained_once_and_no_other_is() -> None:
    assert Counter(_explained()) == Counter(reason.value for reason in Reason)


def test_each_reason_has_a_meaning_and_an_answer() -> None:
    assert [row for row in _rows() if len(row) != 3 or not all(row)] == []


def _explained() -> list[str]:
    return [name for names, *_ in _rows() for name in re.findall(r"`(\w+)`", names)]


def _rows() -> list[list[str]]:
    """The cells of the table of reasons."""
    section = PAGE.read_text(encoding="utf-8").partition("## From the reason to what to do")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in rows]
