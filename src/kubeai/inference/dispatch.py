"""One request from the door to an engine and back: waits for an endpoint, tries, and tries again.

The bytes of the answer go from the engine's connection to the sink without passing here. What is here is the order of
things, and that every count is taken back however it ends, also when the one who asked goes away (the task is
cancelled).
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from kubeai.access.ledger import Ledger
from kubeai.api.model import Model
from kubeai.api.openai.errors import (
    OpenAIError,
    bad_gateway,
    gateway_timeout,
    not_found_model,
)
from kubeai.config.system import GatewaySettings
from kubeai.routing.balancer import Balancer, ModelRemoved, NoEndpoint, Patience, Turn, TurnedAway
from kubeai.routing.endpoint import Endpoint
from kubeai.telemetry.registry import Metrics

from .answer import Sink
from .call import Call
from .counters import Counters, ModelCounters
from .directory import Directory
from .numbered import at_endpoint
from .pool import Pool
from .readiness import hopeless, queue_full, still_not_ready
from .retry import MAX_RETRIES, RetryBudget, backoff_s
from .tap import Tap
from .upstream import Exchange, Outcome
from .wake import Wake

log = logging.getLogger(__name__)

#: Status in the metrics of requests whose client went away; nobody was sent it.
CLIENT_GONE = 499
#: The same for answers that began and broke.
BROKEN = 502
#: How often a waiting request looks whether waiting still makes sense.
_GLANCE_S = 1.0

#: Of a request that need not wait.
_NO_PATIENCE = Patience(0.0)

#: A kept connection that the engine had closed already is found out sooner; later it has died of the request, or in it.
_RACE_S = 1.0

_BEGUN = (Outcome.ANSWERED, Outcome.BROKEN)


class Dispatcher:
    """Serves calls."""

    def __init__(
        self,
        directory: Directory,
        wake: Wake,
        balancer: Balancer,
        pool: Pool,
        metrics: Metrics,
        settings: GatewaySettings,
        ledger: Ledger | None = None,
    ) -> None:
        """Without a ledger nobody counts what a request took."""
        self._directory = directory
        self._wake = wake
        self._balancer = balancer
        self._pool = pool
        self._settings = settings
        self._counters = Counters(metrics)
        self._ledger = ledger

    async def dispatch(self, call: Call, sink: Sink) -> None:
        """Returns when the sink has its answer or was told that it broke; raises `OpenAIError` if none began."""
        loop = asyncio.get_running_loop()
        counters = self._counters.of(call.requested, call.request_type)
        started = loop.time()
        status, tap = CLIENT_GONE, None
        counters.budget.earn()
        with counters.active:
            try:
                call.caller.admit(started)
                if self._ledger is not None:
                    sink = tap = Tap(sink, loop.time, counters.inter_chunk, strips=call.strips_usage)
                with call.caller.running:
                    status = await self._persist(call, sink, counters, started)
            except OpenAIError as error:
                status = error.status
                raise
            finally:
                now = loop.time()
                if tap is not None:
                    self._account(call, tap, counters, now)
                counters.ended(status, now - started)

    def _account(self, call: Call, tap: Tap, counters: ModelCounters, now: float) -> None:
        """Write down what a request took."""
        prompt_tokens, completion_tokens = call.tokens = tap.used()
        if self._ledger is not None:
            self._ledger.of(call.caller.name, call.requested).add(prompt_tokens, completion_tokens)
        if prompt_tokens or completion_tokens:
            counters.used(prompt_tokens, completion_tokens)
            call.caller.charge(prompt_tokens + completion_tokens, now)

    async def _persist(self, call: Call, sink: Sink, counters: ModelCounters, started: float) -> int:
        """Try until an answer began. Returns its status."""
        tried: list[str] = []
        while True:
            budget = counters.budget if len(tried) < MAX_RETRIES else None
            outcome, exchange, endpoint = await self._try(call, sink, counters, budget, started, tried)
            if exchange is not None and outcome in _BEGUN:
                counters.first_byte.observe(exchange.first_byte_at - started)
                return exchange.status if outcome is Outcome.ANSWERED else BROKEN
            reason = _reason(outcome, exchange)
            request_id = call.request_id.decode("latin-1")
            log.warning("request %s: endpoint %s of %s failed: %s", request_id, endpoint.name, call.requested, reason)
            if outcome is Outcome.TIMED_OUT:
                raise gateway_timeout()  # it may still compute: the same again would only add to its load
            if outcome is not Outcome.REFUSED and (budget is None or not budget.spend()):
                raise _failed(outcome)
            counters.retried(reason)
            await asyncio.sleep(backoff_s(len(tried)))
            tried.append(endpoint.name)
            call.retries += 1

    async def _try(
        self,
        call: Call,
        sink: Sink,
        counters: ModelCounters,
        budget: RetryBudget | None,
        started: float,
        tried: list[str],
    ) -> tuple[Outcome, Exchange | None, Endpoint]:
        """Wait for an endpoint, and try once there."""
        model, adapter = call.address, call.adapter
        waits = not self._balancer.has_place(model, adapter)
        cold = waits and not self._balancer.has_endpoint(model)
        while True:
            patience = self._patience(call, started) if waits else _NO_PATIENCE
            slot = self._balancer.slot(model, adapter=adapter, prefix=call.prefix, tried=tried, patience=patience)
            try:
                async with slot as endpoint:
                    call.endpoint = endpoint.name
                    if waits:
                        self._observe_wait(counters, call, started, cold)
                    loop = asyncio.get_running_loop()
                    sent = loop.time()
                    outcome, exchange = await self._exchange(endpoint, at_endpoint(call, endpoint), sink, budget, sent)
                    call.served_s += loop.time() - sent
                    return outcome, exchange, endpoint
            except ModelRemoved:
                raise not_found_model(call.requested) from None
            except TurnedAway:
                raise queue_full(self._current(call), self._settings.max_queue) from None
            except NoEndpoint:
                if waits:
                    raise self._too_late(call) from None
                waits = True  # another process was quicker

    async def _exchange(
        self, endpoint: Endpoint, call: Call, sink: Sink, budget: RetryBudget | None, sent: float
    ) -> tuple[Outcome, Exchange | None]:
        """One request and answer at this endpoint, begun now (`sent`)."""
        address = (endpoint.host, endpoint.port)
        upstream = self._pool.take(address)
        if upstream is not None:
            exchange = upstream.send(call, sink, budget)
            try:
                outcome = await exchange.done
            finally:
                upstream.abandon(exchange)
            # It was closed while nobody used it: no failure of the endpoint, and no retry.
            if outcome is not Outcome.UNTOUCHED or asyncio.get_running_loop().time() > sent + _RACE_S:
                return outcome, exchange
        try:
            upstream = await self._pool.connect(address)
        except OSError:
            return Outcome.UNREACHABLE, None
        exchange = upstream.send(call, sink, budget)
        try:
            return await exchange.done, exchange
        finally:
            upstream.abandon(exchange)

    def _patience(self, call: Call, started: float) -> Patience:
        """How the request waits; the Model is woken if it sleeps."""
        self._wake.ensure(self._current(call))
        turn = Turn(call.caller.identity, call.priority)
        look = partial(self._reconsider, call)
        return Patience(self._left(call, started), turn, self._settings.max_queue, look, _GLANCE_S)

    def _reconsider(self, call: Call) -> None:
        """Whether waiting on makes sense. The Model may have been edited, put to sleep again, or deleted."""
        model = self._current(call)
        error = hopeless(model)
        if error is not None:
            raise error
        self._wake.ensure(model)

    def _too_late(self, call: Call) -> OpenAIError:
        model = self._current(call)
        return hopeless(model) or still_not_ready(model, self._settings.wait_timeout_s, call.adapter)

    def _current(self, call: Call) -> Model:
        model = self._directory.get(call.address)
        if model is None:
            raise not_found_model(call.requested)
        return model

    def _observe_wait(self, counters: ModelCounters, call: Call, started: float, cold: bool) -> None:
        waited_s = asyncio.get_running_loop().time() - started - call.served_s
        counters.queue_wait.observe(waited_s)
        if cold:
            counters.cold_start.observe(waited_s)

    def _left(self, call: Call, started: float) -> float:
        """Seconds that the request may still wait. An engine that died late has not used them up."""
        waited_s = asyncio.get_running_loop().time() - started - call.served_s
        return max(self._settings.wait_timeout_s - waited_s, 0.0)


def _reason(outcome: Outcome, exchange: Exchange | None) -> str:
    """Why a try failed, as the metrics call it."""
    return str(exchange.status) if exchange is not None and exchange.status else outcome.name.lower()


def _failed(outcome: Outcome) -> OpenAIError:
    if outcome is Outcome.UNREACHABLE:
        return bad_gateway("The model server could not be reached.")
    return bad_gateway("The model server closed the connection before it answered; it may have crashed.")
