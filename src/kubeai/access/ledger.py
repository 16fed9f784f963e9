"""What the requests of this process took, by key and Model, until it is written down for good."""

from __future__ import annotations

from typing import NamedTuple

from kubeai.telemetry.families import Counter
from kubeai.telemetry.registry import Metrics

from .usage import MAX_ROWS, OTHER, Batch, Counts


class _Series(NamedTuple):
    """The metrics of one key's use of one Model."""

    requests: Counter
    prompt: Counter
    completion: Counter


class Account:
    """One key's use of one Model. Its counters are looked up once, not for each request."""

    __slots__ = ("_completion", "_prompt", "_requests", "completion_tokens", "prompt_tokens", "requests")

    def __init__(self, series: _Series) -> None:
        #: Since the last `take`.
        self.requests = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self._requests, self._prompt, self._completion = series

    def add(self, prompt_tokens: int, completion_tokens: int) -> None:
        """One more request."""
        self.requests += 1
        self._requests.inc()
        if prompt_tokens:
            self.prompt_tokens += prompt_tokens
            self._prompt.inc(prompt_tokens)
        if completion_tokens:
            self.completion_tokens += completion_tokens
            self._completion.inc(completion_tokens)

    def take(self) -> Counts:
        taken = Counts(self.requests, self.prompt_tokens, self.completion_tokens)
        self.requests = self.prompt_tokens = self.completion_tokens = 0
        return taken


class Ledger:
    """All accounts. Their number is bounded, because a proxy in front may name any number of users.

    An account without use is closed when it is taken, so others have room. Counters of metrics must never go back: what
    has series keeps them, and what comes when there are too many is `other` there until the process ends.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._accounts: dict[tuple[str, str], Account] = {}
        self._series: dict[tuple[str, str], _Series] = {}

    def of(self, key: str, model: str) -> Account:
        account = self._accounts.get((key, model))
        if account is None:
            if len(self._accounts) >= MAX_ROWS:
                key, model = OTHER, OTHER
            account = self._accounts.setdefault((key, model), Account(self._series_of(key, model)))
        return account

    def _series_of(self, key: str, model: str) -> _Series:
        series = self._series.get((key, model))
        if series is None:
            if len(self._series) >= MAX_ROWS:
                key, model = OTHER, OTHER
            requests, tokens = self._metrics.usage_requests, self._metrics.usage_tokens
            new = _Series(
                requests.labels(key, model),
                tokens.labels(key, model, "prompt"),
                tokens.labels(key, model, "completion"),
            )
            series = self._series.setdefault((key, model), new)
        return series

    def take(self) -> Batch:
        """What came in since it was asked last; from now on it is the caller's to keep."""
        taken = {row: account.take() for row, account in self._accounts.items()}
        used = {row: counts for row, counts in taken.items() if counts != Counts()}
        self._accounts = {row: self._accounts[row] for row in used}
        return used

    def peek(self) -> Batch:
        """The same without taking it."""
        open_ = {
            row: Counts(account.requests, account.prompt_tokens, account.completion_tokens)
            for row, account in self._accounts.items()
        }
        return {row: counts for row, counts in open_.items() if counts != Counts()}
