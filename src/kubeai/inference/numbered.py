"""Adapters of servers that know them by number: llama.cpp's counts those that it was started with.

A request names the adapter in a field of its own, whose value depends on the endpoint: while a Model is rolled out, old
and new replicas have different adapters. The field is put at the body's end, where it wins over one of the client's.
"""

from __future__ import annotations

import msgspec

from kubeai.planning.engines.registry import ENGINES
from kubeai.planning.engines.spec import AdapterLoading
from kubeai.routing.endpoint import Endpoint

from .call import Call


def at_endpoint(call: Call, endpoint: Endpoint) -> Call:
    """The call as this endpoint has to get it."""
    if call.adapter is None or not _numbers_adapters(call.model.spec.engine):
        return call
    # They are started in the order of their names, and all of them are in the endpoint's labels.
    number = sorted(endpoint.adapters).index(call.adapter)
    *pieces, last = call.body
    end = bytes(last).rindex(b"}")
    field = b',"lora":[{"id":%d,"scale":1.0}]}' % number
    return msgspec.structs.replace(
        call, body=(*pieces, last[:end], field), size=call.size - len(last) + end + len(field)
    )


def _numbers_adapters(engine: str) -> bool:
    found = ENGINES.get(engine)
    return found is not None and found.adapters is AdapterLoading.AT_START
