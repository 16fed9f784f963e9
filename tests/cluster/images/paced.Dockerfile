# A server that answers as slowly as it is asked to: see paced.py.
ARG BASE
FROM ${BASE}
COPY paced.py /vllm/entrypoints/openai/api_server.py
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/
USER 65532:65532
