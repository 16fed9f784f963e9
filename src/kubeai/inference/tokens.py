"""The number of tokens that an engine says an answer took, found in the bytes without decoding them.

Inside of a JSON string a quotation mark is written `\\"`, so `"usage":` in the bytes is a key and never something that
the model said. OpenAI's APIs write prompt and completion tokens, its Responses API and Anthropic's input and output
tokens; a stream of Anthropic's tells the two in different events. So both are looked for, and the last word counts.
"""

from __future__ import annotations

import re

USAGE = b'"usage"'
_TOKENS = re.compile(rb'"(prompt|input|completion|output)_tokens"[ \t\r\n]*:[ \t\r\n]*(\d{1,12})')
_PROMPT = (b"prompt", b"input")
#: Prompt and completion tokens; None: it does not say.
Found = tuple[int | None, int | None]
NOTHING: Found = (None, None)
#: How far from an end of an answer it may be: behind it are ids and timings, before it the model's name.
END_BYTES = 4096


def find_tokens(data: bytes) -> Found:
    """What the whole or a piece of an answer says."""
    size = len(data)
    if size <= 2 * END_BYTES:
        return _last_of(data, 0, size)
    prompt, completion = _last_of(data, size - END_BYTES, size)
    if prompt is None or completion is None:
        first = _last_of(data, 0, END_BYTES)
        prompt = first[0] if prompt is None else prompt
        completion = first[1] if completion is None else completion
    return prompt, completion


def _last_of(data: bytes, begin: int, end: int) -> Found:
    """From the end on, because there it is soon found; one may say what another does not."""
    prompt: int | None = None
    completion: int | None = None
    while prompt is None or completion is None:
        start = data.rfind(USAGE, begin, end)
        if start < 0:
            break
        for name, number in reversed(_TOKENS.findall(data, start, end)):
            if name in _PROMPT:
                prompt = int(number) if prompt is None else prompt
            else:
                completion = int(number) if completion is None else completion
        end = start
    return prompt, completion
