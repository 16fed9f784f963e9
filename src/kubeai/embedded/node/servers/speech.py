"""Speech to text over HTTP, as OpenAI's API has it, with faster-whisper.

Takes the settings of the usual faster-whisper container image from the environment: `WHISPER__MODEL` and its friends,
`UVICORN_HOST`, `UVICORN_PORT`. A transcription works in a thread of its own, so that health is answered meanwhile. It
runs in the engine's environment: only what `requirements/faster-whisper.txt` lists is here.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

#: A segment of speech: start and end in seconds, and what was said.
Segments = list[Any]


def load_model() -> Any:
    """The model named in the environment: a directory in CTranslate2's form, or a name of the hub."""
    from faster_whisper import WhisperModel  # type: ignore[import-not-found]

    name = os.environ.get("WHISPER__MODEL", "")
    if not name:
        sys.exit("faster-whisper: name the model in WHISPER__MODEL")
    return WhisperModel(
        name,
        device=os.environ.get("WHISPER__INFERENCE_DEVICE", "auto"),
        compute_type=os.environ.get("WHISPER__COMPUTE_TYPE", "default"),
        cpu_threads=int(os.environ.get("WHISPER__CPU_THREADS", "0")),
        num_workers=int(os.environ.get("WHISPER__NUM_WORKERS", "1")),
    )


def make_app(model: Any) -> Any:
    from starlette.applications import Starlette  # type: ignore[import-not-found]
    from starlette.requests import Request  # type: ignore[import-not-found]
    from starlette.responses import JSONResponse, Response  # type: ignore[import-not-found]
    from starlette.routing import Route  # type: ignore[import-not-found]

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def transcribe(request: Request) -> Response:
        task = "translate" if request.url.path.endswith("translations") else "transcribe"
        async with request.form() as form:
            upload, wanted = form.get("file"), str(form.get("response_format") or "json")
            if upload is None or isinstance(upload, str):
                return JSONResponse(_error("file: the audio is missing", "file"), 400)
            if wanted not in FORMATS:
                known = ", ".join(FORMATS)
                return JSONResponse(_error(f"response_format: must be one of {known}", "response_format"), 400)
            try:
                options = _options(form, task)
                segments, info = await asyncio.to_thread(_run, model, upload.file, options)
            except ValueError as error:  # also what the audio library raises for a file that is no audio
                return JSONResponse(_error(str(error), "file"), 400)
        kind, body = FORMATS[wanted](segments, info, task)
        return JSONResponse(body) if kind == "json" else Response(body, media_type=kind)

    paths = ("/v1/audio/transcriptions", "/v1/audio/translations")
    routes = [Route(path, transcribe, methods=["POST"]) for path in paths]
    return Starlette(routes=[Route("/health", health), *routes])


def _options(form: Any, task: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "task": task,
        "language": form.get("language") or os.environ.get("DEFAULT_LANGUAGE") or None,
        "initial_prompt": form.get("prompt") or None,
        "word_timestamps": "word" in form.getlist("timestamp_granularities[]"),
    }
    if form.get("temperature"):
        options["temperature"] = float(form["temperature"])
    return options


def _run(model: Any, audio: Any, options: dict[str, Any]) -> tuple[Segments, Any]:
    from av.error import FFmpegError  # type: ignore[import-not-found]

    try:
        segments, info = model.transcribe(audio, **options)
        return list(segments), info  # the segments are made while they are read
    except FFmpegError as error:
        raise ValueError(f"the file is not audio that can be read: {error}") from error


def _error(message: str, param: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": None}}


# --- the forms of an answer: media type and body ---


def _text(segments: Segments) -> str:
    return "".join(segment.text for segment in segments).strip()


def _as_json(segments: Segments, _info: Any, _task: str) -> tuple[str, Any]:
    return "json", {"text": _text(segments)}


def _as_text(segments: Segments, _info: Any, _task: str) -> tuple[str, Any]:
    return "text/plain", _text(segments)


def _as_verbose_json(segments: Segments, info: Any, task: str) -> tuple[str, Any]:
    fields = ("id", "seek", "start", "end", "text", "tokens", "temperature")
    more = ("avg_logprob", "compression_ratio", "no_speech_prob")
    body: dict[str, Any] = {
        "task": task,
        "language": info.language,
        "duration": info.duration,
        "text": _text(segments),
        "segments": [{name: getattr(segment, name) for name in (*fields, *more)} for segment in segments],
    }
    words = [word for segment in segments for word in segment.words or ()]
    if words:
        body["words"] = [{"word": word.word, "start": word.start, "end": word.end} for word in words]
    return "json", body


def _as_srt(segments: Segments, _info: Any, _task: str) -> tuple[str, Any]:
    blocks = (f"{number}\n{_span(s, ',')}\n{s.text.strip()}\n" for number, s in enumerate(segments, 1))
    return "text/plain", "\n".join(blocks)


def _as_vtt(segments: Segments, _info: Any, _task: str) -> tuple[str, Any]:
    return "text/vtt", "\n".join(_vtt_blocks(segments))


def _vtt_blocks(segments: Segments) -> Iterable[str]:
    yield "WEBVTT\n"
    for segment in segments:
        yield f"{_span(segment, '.')}\n{segment.text.strip()}\n"


def _span(segment: Any, point: str) -> str:
    return f"{_clock(segment.start, point)} --> {_clock(segment.end, point)}"


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


FORMATS: dict[str, Callable[[Segments, Any, str], tuple[str, Any]]] = {
    "json": _as_json,
    "text": _as_text,
    "verbose_json": _as_verbose_json,
    "srt": _as_srt,
    "vtt": _as_vtt,
}


def main() -> None:
    import uvicorn  # type: ignore[import-not-found]

    app = make_app(load_model())
    host, port = os.environ.get("UVICORN_HOST", "127.0.0.1"), int(os.environ.get("UVICORN_PORT", "8000"))
    uvicorn.run(app, host=host, port=port, log_level="warning")


if __name__ == "__main__":
    main()
