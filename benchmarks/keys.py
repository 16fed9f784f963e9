"""What an API key, its limits and the counting of usage cost each request: CPU microseconds, the best of some runs.

`python -m benchmarks keys`. These are the steps themselves, with nothing around them: what a request as a whole costs
is in `benchmarks.gateway`. It fails where a step costs more than it may.
"""

from __future__ import annotations

import asyncio
import sys
import time
import timeit
from collections.abc import Callable, Mapping, Sequence

from prometheus_client import CollectorRegistry

from benchmarks.bars import read_slack
from kubeai.access.caller import Caller
from kubeai.access.gate import Gate
from kubeai.access.key import Key, digest_of
from kubeai.access.ledger import Ledger
from kubeai.access.secret import encode
from kubeai.access.sharing import Sharing
from kubeai.api.k8s.objects import Secret
from kubeai.api.model import Model
from kubeai.gateway.access_log import AccessLog
from kubeai.gateway.receiver import Receiver
from kubeai.gateway.watching import Ended
from kubeai.inference.answer import AnswerHead, Source, read_head
from kubeai.inference.call import Call
from kubeai.inference.headers import Header
from kubeai.inference.tap import Tap
from kubeai.telemetry.pages import Memory
from kubeai.telemetry.registry import Metrics

_RUNS, _NUMBER = 7, 20_000
#: Microseconds that one step may take.
BAR_US = 5.0
_KEYS = 1000
_ANSWER = b'{"choices":[{"message":{"content":"%b"}}],"usage":{"prompt_tokens":5,"completion_tokens":7}}'
_EVENT = b'data: {"choices":[{"delta":{"content":"word"}}]}\n\n'


class _Secrets:
    synced = True

    def on_change(self, handler: Callable[[Secret | None, Secret | None], None]) -> None:
        names = [f"key{number}" for number in range(_KEYS)]
        keys = [
            Key(
                name=name,
                digest=digest_of(name.encode()),
                requests_per_minute=10**9,
                tokens_per_minute=10**9,
                concurrency=10**6,
            )
            for name in names
        ]
        handler(None, Secret(data={key.name: encode(key) for key in keys}))


class _Sink:
    def answer(
        self, head: AnswerHead | None, chunks: Sequence[bytes], trailers: Sequence[Header] | None, source: Source
    ) -> None: ...

    def relay(self, piece: bytes, now: float) -> bool:
        return True

    def broken(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


def _best_us(step: Callable[[], object]) -> float:
    return min(timeit.repeat(step, timer=time.process_time, number=_NUMBER, repeat=_RUNS)) / _NUMBER * 1e6


def main(argv: Sequence[str] = ()) -> None:
    bar_us = BAR_US * read_slack(argv, "benchmarks.keys", __doc__)
    metrics = Metrics(CollectorRegistry())
    gate, ledger, sink = Gate(None, _Secrets()), Ledger(metrics), _Sink()
    credentials = gate.credentials("10.0.0.1")
    headers = [(b"host", b"h"), (b"content-type", b"application/json"), (b"authorization", b"Bearer key500")]
    presented = credentials.read(headers)
    caller = gate.identify(presented)
    between = metrics.inter_chunk.labels("m")
    json_head = read_head(200, [(b"Content-Type", b"application/json")])
    stream_head = read_head(200, [(b"Content-Type", b"text/event-stream")])
    answer = _ANSWER % (b"x" * 900)
    stream = Tap(sink, lambda: 1.0, between, strips=False)
    stripped = Tap(sink, lambda: 1.0, between, strips=True)
    for tap in (stream, stripped):
        tap.answer(stream_head, (), None, sink)

    def admit() -> None:
        caller.admit(1.0)
        with caller.running:
            pass

    def account() -> None:
        ledger.of(caller.name, "m").add(5, 7)
        caller.charge(12, 1.0)

    def whole_answer() -> None:
        tap = Tap(sink, lambda: 1.0, between, strips=False)
        tap.answer(json_head, (answer,), (), sink)
        assert tap.used() == (5, 7)

    rows: dict[str, Callable[[], object]] = {
        "a new head: find and hash its key": lambda: credentials.read(headers),
        f"each request: who is it, of {_KEYS} keys": lambda: gate.identify(presented),
        "each request: its three limits": admit,
        "the same, shared by four processes": _shared_limits(),
        "each request: write down what it took": account,
        "each answer of 1 KB: pass it and find its usage": whole_answer,
        "each piece of a stream: pass and time it": lambda: stream.relay(_EVENT, 2.0),
        "the same, where usage is taken out": lambda: stripped.relay(_EVENT, 2.0),
    }
    rows["each request: a line of the access log"] = _access_log(caller)
    costs = asyncio.run(_measure(rows))
    for name, cost in costs.items():
        print(f"{name:<50} {cost:6.2f} us")
    if missed := [f"{name}: {cost:.2f} us" for name, cost in costs.items() if cost > bar_us]:
        sys.exit(f"slower than the {bar_us:g} us that are allowed: " + "; ".join(missed))


async def _measure(rows: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """In a loop, which gathers the lines of the log."""
    return {name: _best_us(step) for name, step in rows.items()}


def _shared_limits() -> Callable[[], object]:
    """All of one key, who is asked at each of the processes."""
    memory = Memory(4)
    key = Key(name="k", digest=b"", requests_per_minute=10**9, tokens_per_minute=10**9, concurrency=10**6)
    limiters = [Sharing(Metrics(CollectorRegistry(), memory, number)).limiter(key) for number in range(4)]

    def admit() -> None:
        limiters[0].admit(1.0)
        with limiters[0].running:
            pass

    return admit


def _access_log(caller: Caller) -> Callable[[], object]:
    receiver = Receiver(1000, 1000, b"10.0.0.1")
    receiver.feed(b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}")
    request = receiver.ready[0]
    model = Model.model_validate(
        {"metadata": {"name": "m"}, "spec": {"url": "hf://a/b", "engine": "VLLM", "features": ["TextGeneration"]}}
    )
    call = Call(model, None, "m", "http", b"id", b"/", b"", (), 0, "", caller)
    call.endpoint, call.tokens, call.first_byte_at = "default/model-m-7c9d5-x2x4q", (5, 7), 2.0
    log = AccessLog(lambda _: None)
    return lambda: log.ended(Ended(b"id", request, call, 200, 1000, 1.0, 3.0))


if __name__ == "__main__":
    main(sys.argv[1:])
