"""Writes are waited for until the cache shows them, and not for ever."""

from __future__ import annotations

from kubeai.kube.expectations import Expectations


def test_a_created_object_is_pending_until_it_is_seen() -> None:
    expectations: Expectations[str] = Expectations()
    expectations.created("model", "u1", now=0)
    assert expectations.pending("model", now=1)
    expectations.observe("model", {"u1"})
    assert not expectations.pending("model", now=1)


def test_a_deleted_object_is_pending_until_it_is_gone() -> None:
    expectations: Expectations[str] = Expectations()
    expectations.deleted("model", "u1", now=0)
    expectations.observe("model", {"u1", "u2"})
    assert expectations.pending("model", now=1)
    expectations.observe("model", {"u2"})
    assert not expectations.pending("model", now=1)


def test_an_object_that_never_shows_is_given_up() -> None:
    expectations: Expectations[str] = Expectations(expiry_s=30)
    expectations.created("model", "u1", now=0)
    assert expectations.pending("model", now=29)
    assert not expectations.pending("model", now=31)


def test_one_owner_does_not_wait_for_anothers_writes() -> None:
    expectations: Expectations[str] = Expectations()
    expectations.created("model", "u1", now=0)
    assert not expectations.pending("other", now=0)


def test_a_created_object_that_is_deleted_before_it_was_seen_is_only_waited_to_vanish() -> None:
    expectations: Expectations[str] = Expectations()
    expectations.created("model", "u1", now=0)
    expectations.deleted("model", "u1", now=0)
    expectations.observe("model", set())
    assert not expectations.pending("model", now=0)
