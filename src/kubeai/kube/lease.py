"""Leader election: of several processes with one Lease, at most one does the work at a time.

Two clocks never have to agree. Who waits for a lease to expire measures, on its own monotonic clock, how long it has
not seen the lease change; who holds it counts from before it sent the renewal that succeeded. The holder's work is
cancelled once `renew_deadline_s` has passed since then, which leaves it the rest of `lease_duration_s` to end before
anybody else can begin. The times in the Lease itself are for people to read, and for other implementations.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from kubeai.api.k8s.resources import LEASES, Resource

from .errors import APIError, ConnectionFailed

log = logging.getLogger(__name__)

JSONObject = dict[str, Any]
Work = Callable[[], Awaitable[None]]
#: What to write over the lease that is there (or not); None to leave it alone.
Change = Callable[[JSONObject | None], JSONObject | None]


class Timing(Protocol):
    """`lease_duration_s` > `renew_deadline_s` > `retry_period_s`."""

    @property
    def lease_duration_s(self) -> float: ...
    @property
    def renew_deadline_s(self) -> float: ...
    @property
    def retry_period_s(self) -> float: ...


class Objects(Protocol):
    """The part of `Client` that is needed here."""

    async def get(self, resource: Resource, name: str, /) -> JSONObject: ...
    async def create(self, resource: Resource, obj: JSONObject, /) -> JSONObject: ...
    async def replace(self, resource: Resource, obj: JSONObject, /) -> JSONObject: ...


def _now() -> datetime:
    return datetime.now(UTC)


class LeaderElection:
    """One candidate for one Lease in the client's namespace."""

    def __init__(
        self, client: Objects, name: str, identity: str, settings: Timing, now: Callable[[], datetime] = _now
    ) -> None:
        """`identity` must differ between processes that run at the same time: what is in its name is taken as ours."""
        self._client = client
        self._name = name
        self._identity = identity
        self._settings = settings
        self._now = now
        #: The lease as we wrote it last; None when it has to be read before it can be written.
        self._held: JSONObject | None = None
        #: Loop time of just before the last successful write was sent: others count from later than this.
        self._renewed_at = -math.inf
        #: The spec that was read last, and the loop time since when it has not been seen to change.
        self._seen: JSONObject = {}
        self._seen_since = -math.inf
        self._leading = False

    @property
    def leading(self) -> bool:
        """True while the work runs."""
        return self._leading

    @property
    def holder(self) -> str:
        """Who had the lease when it was last looked at; "" for nobody."""
        return _holder(self._seen)

    async def run(self, work: Work) -> None:
        """Do `work` whenever, and for as long as, the lease is ours. Returns, or raises, when the work itself does.

        `work` is called anew each time the lease is won, and cancelled when it is lost. When this is cancelled the
        work is cancelled and awaited first, and then the lease is given up, so that another goes on at once.
        """
        try:
            while True:
                await self._acquire()
                log.info("%s leads: it holds Lease %s", self._identity, self._name)
                if await self._lead(work):
                    return
                log.warning("%s no longer leads: Lease %s was not renewed", self._identity, self._name)
        finally:
            await self._release()

    async def _acquire(self) -> None:
        while True:
            if await self._attempt():
                return
            await asyncio.sleep(self._pause_s())

    async def _attempt(self) -> bool:
        """One try to take the lease. A slow answer is no answer: the lease in it could be over already."""
        try:
            async with asyncio.timeout(self._settings.renew_deadline_s):
                return await self._write(self._signed)
        except (APIError, ConnectionFailed, TimeoutError) as error:
            log.warning("Lease %s cannot be taken: %s; trying again", self._name, str(error) or "no answer in time")
            self._held = None
            return False

    def _pause_s(self) -> float:
        """Until the next look: a period, or less if the lease runs out before."""
        if not self.holder:
            return self._settings.retry_period_s
        left_s = self._seen_since + self._duration_s(self._seen) - asyncio.get_running_loop().time()
        return min(self._settings.retry_period_s, left_s) if left_s > 0 else self._settings.retry_period_s

    async def _lead(self, work: Work) -> bool:
        """Work until it ends (True) or the lease is lost (False). The lease is renewed until the work has ended."""
        self._leading = True
        working = asyncio.ensure_future(work())
        renewing = asyncio.create_task(self._keep())
        try:
            await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
            return working.done()
        finally:
            working.cancel()
            await self._end_of(working)
            renewing.cancel()
            await asyncio.wait({renewing})
            self._leading = False
            for task in (working, renewing):
                if not task.cancelled():
                    task.result()  # raises what it raised

    async def _end_of(self, working: asyncio.Future[None]) -> None:
        """Wait until the cancelled work has ended, and say so if it does not before others may begin."""
        while not working.done():
            left_s = self._renewed_at + self._settings.lease_duration_s - asyncio.get_running_loop().time()
            if left_s <= 0:
                log.error("the work under Lease %s was cancelled and goes on although the lease is over", self._name)
            await asyncio.wait({working}, timeout=left_s if left_s > 0 else None)

    async def _keep(self) -> None:
        """Renew for as long as that succeeds in time."""
        while True:
            deadline = self._renewed_at + self._settings.renew_deadline_s
            try:
                async with asyncio.timeout_at(deadline):
                    await asyncio.sleep(self._settings.retry_period_s)
                    if not await self._write(self._signed):
                        log.warning("Lease %s was taken by %s", self._name, self.holder)
                        return
            except (APIError, ConnectionFailed) as error:
                log.warning("Lease %s was not renewed: %s; trying again", self._name, error)
            except TimeoutError:
                return

    async def _release(self) -> None:
        """Give the lease up if it is ours, or may be: a write may have succeeded whose answer did not come."""
        try:
            async with asyncio.timeout(self._settings.retry_period_s):
                await self._write(self._vacated)
        except (APIError, ConnectionFailed, TimeoutError) as error:
            log.warning("Lease %s was not released: %s; it runs out", self._name, str(error) or "no answer in time")

    async def _write(self, change: Change) -> bool:
        """Write what `change` makes of the lease, looking again as often as somebody else is faster.

        False if `change` leaves the lease alone.
        """
        while True:
            lease = self._held or await self._look()
            changed = change(lease)
            if changed is None:
                return False
            sent_at = asyncio.get_running_loop().time()
            try:
                write = self._client.create if lease is None else self._client.replace
                self._held = await write(LEASES, changed)
            except APIError as error:
                self._held = None
                # A create that finds nothing has no namespace to write to: looking again does not help.
                if not (error.conflict or error.already_exists or (error.not_found and lease is not None)):
                    raise
                continue
            self._renewed_at = sent_at
            self._seen = self._held.get("spec") or {}
            return True

    async def _look(self) -> JSONObject | None:
        try:
            lease = await self._client.get(LEASES, self._name)
        except APIError as error:
            if not error.not_found:
                raise
            self._seen = {}
            return None
        spec: JSONObject = lease.get("spec") or {}
        if spec != self._seen:
            self._seen = spec
            self._seen_since = asyncio.get_running_loop().time()
        return lease

    def _signed(self, lease: JSONObject | None) -> JSONObject | None:
        """The lease in our name from now on; None while it is another's."""
        spec: JSONObject = (lease or {}).get("spec") or {}
        holder = _holder(spec)
        if holder not in ("", self._identity) and not self._expired(spec):
            return None
        now = _micro_time(self._now())
        mine = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": math.ceil(self._settings.lease_duration_s),
            "renewTime": now,
        }
        if holder != self._identity:
            mine["acquireTime"] = now
            mine["leaseTransitions"] = (spec.get("leaseTransitions") or 0) + 1 if lease else 0
        return self._whole(lease) | {"spec": spec | mine}

    def _vacated(self, lease: JSONObject | None) -> JSONObject | None:
        """The lease in nobody's name; None if it is not ours."""
        spec: JSONObject = (lease or {}).get("spec") or {}
        if lease is None or _holder(spec) != self._identity:
            return None
        # A second is the shortest duration that Kubernetes takes.
        free = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _micro_time(self._now())}
        return self._whole(lease) | {"spec": spec | free}

    def _expired(self, spec: JSONObject) -> bool:
        return asyncio.get_running_loop().time() >= self._seen_since + self._duration_s(spec)

    def _duration_s(self, spec: JSONObject) -> float:
        """What the holder promised; it need not be configured as we are."""
        return float(spec.get("leaseDurationSeconds") or self._settings.lease_duration_s)

    def _whole(self, lease: JSONObject | None) -> JSONObject:
        return lease or {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": {"name": self._name}}


def _holder(spec: JSONObject) -> str:
    return spec.get("holderIdentity") or ""


def _micro_time(time: datetime) -> str:
    """Kubernetes' MicroTime: always UTC, always six digits."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
