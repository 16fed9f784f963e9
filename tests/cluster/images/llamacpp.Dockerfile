# A server for the engine LlamaCpp: llama.cpp's own HTTP server with llama-server's flags, as `kubeai up` runs it.
ARG BASE
FROM ${BASE}
RUN apt-get update -qq && apt-get install -qq --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
COPY src/kubeai/embedded/node/requirements/llamacpp.txt /
RUN python -m venv --without-pip /opt/engine \
 && python -m pip --python /opt/engine/bin/python install --no-cache-dir --only-binary :all: -r /llamacpp.txt
COPY src/kubeai/embedded/node/servers/llamacpp.py /opt/engine/
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["/opt/engine/bin/python", "/opt/engine/llamacpp.py"]
