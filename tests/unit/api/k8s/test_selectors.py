import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeai.api.k8s.selectors import FieldSelector, LabelSelector, SelectorError

LABELS = {"app": "model", "tier": "gold", "size": "7", "empty": "", "in": "x", "example.com/team": "a-b.c"}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing selects everything"),
        pytest.param("  ", id="space selects everything"),
        pytest.param("app=model", id="equals"),
        pytest.param("app==model", id="equals written twice"),
        pytest.param("app!=other", id="differs"),
        pytest.param("absent!=other", id="an absent label differs from every value"),
        pytest.param("app in (a,model)", id="one of several"),
        pytest.param("app notin (a,b)", id="none of several"),
        pytest.param("absent notin (a,b)", id="an absent label is none of several"),
        pytest.param("empty in (a,,b)", id="an empty place in a set is the empty value"),
        pytest.param("empty in ()", id="an empty set holds the empty value"),
        pytest.param("empty=", id="equals the empty value"),
        pytest.param("app", id="exists"),
        pytest.param("!absent", id="does not exist"),
        pytest.param("! absent", id="does not exist, with a space"),
        pytest.param("size>6,size<8", id="above and below"),
        pytest.param("size>-1", id="above a negative number"),
        pytest.param(" app = model , tier in ( gold , silver ) ", id="space is free"),
        pytest.param("in in (x)", id="a label may be called like an operator"),
        pytest.param("example.com/team=a-b.c", id="keys have prefixes"),
    ],
)
def test_selects(text: str) -> None:
    assert LabelSelector.parse(text).matches(LABELS)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("app=other", id="another value"),
        pytest.param("app=model,tier=silver", id="one of two requirements fails"),
        pytest.param("absent=", id="an absent label does not equal the empty value"),
        pytest.param("absent in ()", id="an absent label is not in a set"),
        pytest.param("app!=model", id="differs from itself"),
        pytest.param("!app", id="exists after all"),
        pytest.param("absent", id="is absent"),
        pytest.param("size>7", id="not above itself"),
        pytest.param("app>1", id="no number is above nothing"),
        pytest.param("absent<1", id="an absent label is below nothing"),
    ],
)
def test_does_not_select(text: str) -> None:
    assert not LabelSelector.parse(text).matches(LABELS)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("a,", "found the end, expected a label key", id="ends with a comma"),
        pytest.param(",a", "found ',', expected a label key", id="begins with a comma"),
        pytest.param("=a", "found '=', expected a label key", id="has no key"),
        pytest.param("a b", "expected one of =, ==, !=, in, notin, >, <", id="has no operator"),
        pytest.param("!a=b", "expected ',' or the end", id="negates and compares"),
        pytest.param("a in b", "expected '('", id="has a set without a parenthesis"),
        pytest.param("a in (b", "expected ',' or ')'", id="does not close a set"),
        pytest.param("a>x", "expected an integer", id="compares with a word"),
        pytest.param("-a=b", "key '-a'", id="has a malformed key"),
        pytest.param("a=-b", "value '-b'", id="has a malformed value"),
        pytest.param("a=b c", "expected ',' or the end", id="has two values"),
    ],
)
def test_refuses_a_selector_that(text: str, fault: str) -> None:
    with pytest.raises(SelectorError) as error:
        LabelSelector.parse(text)
    assert fault in str(error.value)
    assert repr(text) in str(error.value)


@given(st.text(alphabet="ab=!(),<> in", max_size=20))
def test_any_text_is_a_selector_or_a_selector_error(text: str) -> None:
    with contextlib.suppress(SelectorError):
        LabelSelector.parse(text).matches(LABELS)


FIELDS = {"metadata.name": "x", "status.phase": "a,b"}


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        pytest.param("", True, id="nothing selects everything"),
        pytest.param("metadata.name=x", True, id="equals"),
        pytest.param("metadata.name==y", False, id="equals another"),
        pytest.param("metadata.name!=y", True, id="differs"),
        pytest.param("spec.nodeName=", True, id="an absent field is empty"),
        pytest.param("spec.nodeName!=", False, id="an absent field is not filled"),
        pytest.param("metadata.name=x,status.phase=c", False, id="one of two fails"),
        pytest.param("status.phase=a\\,b", True, id="an escaped comma"),
        pytest.param("metadata.name=x,", True, id="a comma at the end"),
    ],
)
def test_field_selector(text: str, selected: bool) -> None:
    assert FieldSelector.parse(text).matches(FIELDS) is selected


@pytest.mark.parametrize("text", ["a", "=b", "a=b=c", "a=b\\", "a=b\\c"])
def test_refuses_the_field_selector(text: str) -> None:
    with pytest.raises(SelectorError, match="FIELD=VALUE"):
        FieldSelector.parse(text)


def test_a_field_selector_names_its_fields() -> None:
    assert FieldSelector.parse("a=1,b!=2").fields == {"a", "b"}
