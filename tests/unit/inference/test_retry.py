"""The budget of retries."""

from __future__ import annotations

from kubeai.inference.retry import MAX_RETRIES, RetryBudget, backoff_s


def spend_all(budget: RetryBudget) -> int:
    spent = 0
    while budget.spend():
        spent += 1
    return spent


def test_a_failing_model_gets_one_retry_for_five_requests_in_the_long_run() -> None:
    # fault P8
    budget = RetryBudget()
    spend_all(budget)
    for _ in range(1000):
        budget.earn()
    assert 40 <= spend_all(budget) <= 50
    for _ in range(100):
        budget.earn()
    assert spend_all(budget) in (19, 20)


def test_a_single_bad_request_has_all_of_its_attempts() -> None:
    budget = RetryBudget()
    assert spend_all(budget) >= MAX_RETRIES


def test_each_retry_waits_longer() -> None:
    pauses = [backoff_s(retries) for retries in range(MAX_RETRIES)]
    assert pauses == sorted(pauses)
    assert 0 < pauses[0] < pauses[-1] < 1
