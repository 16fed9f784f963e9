"""Usage that survives restarts: every gateway adds what it counted to the ConfigMap of the month, again and again.

All add to the same numbers, and a write counts only onto the version that was read, so nothing is lost between two
gateways. A batch that was sent and not answered may have been written or not; so it has a number that is written with
it, and is looked for before it is sent again: no request counts twice. What a gateway has not written when it is killed
is lost; that is one interval at most.
"""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs

from kubeai.api.k8s.objects import ConfigMap
from kubeai.api.k8s.resources import CONFIG_MAPS, Resource
from kubeai.api.openai.errors import invalid_request
from kubeai.kube.errors import APIError

from .ledger import Ledger
from .usage import Asked, Batch, add, decode_day, encode_day, last_write, report, with_write

log = logging.getLogger(__name__)

#: By it gateways, and people, find the ConfigMaps.
LABEL = "kubeai.org/usage"
_PREFIX = "kubeai-usage-"
_WRITERS = "writers"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_ATTEMPTS = 10
_FAREWELL_S = 3.0


class Client(Protocol):
    """The part of the Kubernetes client that is needed here."""

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any]: ...

    async def create(self, resource: Resource, obj: dict[str, Any], namespace: str | None = None) -> dict[str, Any]: ...

    async def patch(
        self, resource: Resource, name: str, patch: dict[str, Any], *, namespace: str | None = None
    ) -> dict[str, Any]: ...


class Months(Protocol):
    """The part of an informer of the ConfigMaps that is needed here."""

    def all(self) -> list[ConfigMap]: ...


class _Sent(NamedTuple):
    """A batch that was taken out of the ledger and is not known to be written."""

    number: int
    day: str
    batch: Batch


class Books:
    """Writes down what one process's ledger counts, and knows what all have written."""

    def __init__(
        self,
        ledger: Ledger,
        client: Client,
        months: Months,
        interval_s: float,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.ledger = ledger
        self._client = client
        self._months = months
        self._interval_s = interval_s
        self._clock = clock
        self._writer = uuid.uuid4().hex[:12]
        self._number = 0
        self._sent: _Sent | None = None
        #: The last batch that was written: a watch that lags does not show it yet.
        self._written: _Sent | None = None

    async def run(self) -> None:
        """Until it is cancelled; then once more."""
        try:
            while True:
                await asyncio.sleep(self._interval_s)
                await self.write()
        finally:
            try:
                async with asyncio.timeout(_FAREWELL_S):
                    if self._sent is not None:
                        await self.write()
                    await self.write()
            except TimeoutError:
                log.warning("the usage of the last %g s could not be written", self._interval_s)

    async def write(self) -> None:
        """Write what came since the last time, or what could not be written then, which goes first."""
        # By now the watch has shown it; who waited longer might find that others have pushed its number out.
        self._written = None
        if self._sent is None:
            batch = self.ledger.take()
            if not batch:
                return
            self._number += 1
            self._sent = _Sent(self._number, self._clock().date().isoformat(), batch)
        try:
            await self._add(self._sent)
        except (APIError, OSError) as error:
            log.warning("usage cannot be written, trying again: %s", error)
            return
        self._sent, self._written = None, self._sent

    def report(self, asked: Asked) -> dict[str, object]:
        """What all gateways have written, and what this one has not."""
        days: dict[str, Batch] = {}
        for day, batch in self._known():
            days[day] = add(days.get(day, {}), batch)
        return report(days, asked)

    def _known(self) -> Iterator[tuple[str, Batch]]:
        months = self._months.all()
        for month in months:
            yield from days_of(month.data or {}).items()
        for sent in (self._written, self._sent):
            if sent is not None and not any(_shows(month, self._writer, sent.number) for month in months):
                yield sent.day, sent.batch
        yield self._clock().date().isoformat(), self.ledger.peek()

    async def _add(self, sent: _Sent) -> None:
        name = _PREFIX + sent.day[:7]
        for _ in range(_ATTEMPTS):
            try:
                found = await self._client.get(CONFIG_MAPS, name)
            except APIError as error:
                if not error.not_found:
                    raise
                found = None
            try:
                await self._add_to(name, found, sent)
            except APIError as error:
                if not (error.conflict or error.already_exists):
                    raise
                continue
            return
        log.info("the ConfigMap %s is written by many: usage waits for the next time", name)
        raise APIError(409, "Conflict", f"ConfigMap {name} changed {_ATTEMPTS} times in a row")

    async def _add_to(self, name: str, found: dict[str, Any] | None, sent: _Sent) -> None:
        data: dict[str, str] = (found or {}).get("data") or {}
        writers = data.get(_WRITERS, "{}")
        if last_write(writers, self._writer) >= sent.number:
            return  # the answer to it was lost
        day = encode_day(add(_day(data, sent.day), sent.batch))
        new = {sent.day: day, _WRITERS: with_write(writers, self._writer, sent.number)}
        if found is None:
            metadata = {"name": name, "labels": {LABEL: sent.day[:7]}}
            await self._client.create(CONFIG_MAPS, {"metadata": metadata, "data": new})
            return
        version = {"resourceVersion": found["metadata"]["resourceVersion"]}
        await self._client.patch(CONFIG_MAPS, name, {"metadata": version, "data": new})


def asked_of(query: str) -> Asked:
    """What `/usage?QUERY` asks for. Raises `OpenAIError` (400)."""
    try:
        fields = parse_qs(query, max_num_fields=20)
    except ValueError as error:
        raise invalid_request(f"The query cannot be understood: {error}.") from None
    given = {name: values[-1] for name, values in fields.items()}
    for name in ("from", "to"):
        if name in given and not _DATE.fullmatch(given[name]):
            raise invalid_request(f"'{name}' must be a date such as 2026-01-31.", param=name)
    return Asked(given.get("from", ""), given.get("to", ""), given.get("key"), given.get("model"))


def days_of(data: dict[str, str]) -> dict[str, Batch]:
    """The days of one month's ConfigMap."""
    return {day: _day(data, day) for day in data if day != _WRITERS}


def _day(data: dict[str, str], day: str) -> Batch:
    try:
        return decode_day(data.get(day, "{}"))
    except ValueError as error:
        log.error("the usage of %s cannot be read, and begins anew: %s", day, error)
        return {}


def _shows(month: ConfigMap, writer: str, number: int) -> bool:
    return last_write((month.data or {}).get(_WRITERS, "{}"), writer) >= number
