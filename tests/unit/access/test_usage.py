from __future__ import annotations

import pytest

from kubeai.access.usage import (
    MAX_ROWS,
    MAX_WRITERS,
    OTHER,
    Asked,
    Batch,
    Counts,
    add,
    decode_day,
    encode_day,
    last_write,
    report,
    with_write,
)

ONE: Batch = {("alice", "m"): Counts(1, 2, 3)}


def test_batches_add_up() -> None:
    more: Batch = {("alice", "m"): Counts(1, 1, 1), ("bob", "m"): Counts(4, 0, 0)}
    assert add(ONE, more) == {("alice", "m"): Counts(2, 3, 4), ("bob", "m"): Counts(4, 0, 0)}
    assert {("alice", "m"): Counts(1, 2, 3)} == ONE


def test_rows_for_which_there_is_no_room_are_counted_together() -> None:
    more: Batch = {(f"user{i}", "m"): Counts(1, 1, 1) for i in range(10)}
    total = add(ONE, more, max_rows=3)
    assert total[OTHER, OTHER] == Counts(8, 8, 8)
    assert sum(counts.requests for counts in total.values()) == 11


LONG: Batch = {(f"{i:063}", f"{'m' * 40}_{i:063}"): Counts(10**6, 10**10, 10**9) for i in range(1000)}
FOREIGN: Batch = {(f"{'ü' * 60}{i}", '"' * 60): Counts(10**6, 10**10, 10**9) for i in range(1000)}
SHORT: Batch = {(f"user{i}", "smollm2"): Counts(10**6, 10**10, 10**9) for i in range(1000)}


@pytest.mark.parametrize(
    ("batch", "rows"),
    [
        pytest.param(LONG, 150, id="long names"),
        pytest.param(FOREIGN, 100, id="names that JSON makes longer"),
        pytest.param(SHORT, MAX_ROWS, id="short names, as most are"),
    ],
)
def test_a_month_fits_into_a_config_map(batch: Batch, rows: int) -> None:
    day = add({}, batch)
    assert rows <= len(day) <= MAX_ROWS + 1
    assert sum(counts.requests for counts in day.values()) == 10**9
    writers = ""
    for number in range(MAX_WRITERS):
        writers = with_write(writers, f"{number:012}", 10**6)
    month = {f"2026-01-{number:02}": encode_day(day) for number in range(31)} | {"writers": writers}
    assert sum(len(name) + len(text.encode()) for name, text in month.items()) < 1 << 20
    later = {row: Counts(1, 1, 1) for row in batch}
    assert set(add(day, later)) == set(day)


def test_a_day_comes_back_as_it_was_written() -> None:
    assert decode_day(encode_day(ONE)) == ONE


@pytest.mark.parametrize("text", ["", "[]", '{"a":{"m":[1,2]}}', "{"])
def test_what_is_no_day_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_day(text)


def test_writers_are_remembered_and_old_ones_forgotten() -> None:
    text = ""
    for number in range(MAX_WRITERS + 2):
        text = with_write(text, f"w{number}", number)
    text = with_write(text, "w2", 99)
    assert [last_write(text, name) for name in ("w0", "w1", "w2", "w3", "nobody")] == [0, 0, 99, 3, 0]


DAYS: dict[str, Batch] = {
    "2026-01-31": {("alice", "m"): Counts(1, 10, 100), ("bob", "n"): Counts(2, 20, 200)},
    "2026-02-01": {("alice", "n"): Counts(4, 40, 400)},
}


@pytest.mark.parametrize(
    ("asked", "requests"),
    [
        pytest.param(Asked(), 7, id="all"),
        pytest.param(Asked(since="2026-02-01"), 4, id="from a day on"),
        pytest.param(Asked(until="2026-01-31"), 3, id="until a day"),
        pytest.param(Asked(key="alice"), 5, id="of a key"),
        pytest.param(Asked(model="n"), 6, id="of a model"),
        pytest.param(Asked(key="alice", model="m"), 1, id="of both"),
        pytest.param(Asked(key=""), 0, id="of those without a key"),
    ],
)
def test_a_report_has_the_lines_that_are_asked_for(asked: Asked, requests: int) -> None:
    assert report(DAYS, asked)["total"] == {
        "requests": requests,
        "prompt_tokens": 10 * requests,
        "completion_tokens": 100 * requests,
    }


def test_a_line_of_a_report() -> None:
    assert report({"2026-01-31": ONE}, Asked())["data"] == [
        {
            "date": "2026-01-31",
            "key": "alice",
            "model": "m",
            "requests": 1,
            "prompt_tokens": 2,
            "completion_tokens": 3,
        }
    ]
