import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeai.api.k8s.duration import DurationError, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("1m30s", 90),
        ("1.5h", 5400),
        ("300ms", 0.3),
        ("2us", 2e-6),
        ("2µs", 2e-6),
        (".5s", 0.5),
        ("-1s", -1),
        ("+1s", 1),
        ("0", 0),
        (5_000_000_000, 5),  # numbers count nanoseconds
        (1e9, 1),
    ],
)
def test_reads(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "s", "1 s", "1d", "1s1", "1s-1s", "--1s", "1,5s"])
def test_refuses(text: str) -> None:
    with pytest.raises(DurationError, match="is not a duration"):
        parse_duration(text)


@given(st.integers(0, 10**15))
def test_what_is_written_reads_the_same(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds * 1e-9)) == pytest.approx(nanoseconds * 1e-9)


def test_writes_the_shortest_form() -> None:
    assert [format_duration(s) for s in (0, 10, 90, 600, 0.5, -1)] == ["0s", "10s", "1m30s", "10m", "500ms", "-1s"]
