# Two commands do all: `make up` serves a real model on this machine, `make test` runs the tests.
# Needed: git, make, and Python 3.11+ with venv. Everything else is installed under .venv.

VENV ?= .venv
BIN := $(VENV)/bin
# pip's own progress bar is shown by `make up`; a CI log wants silence.
PIP_FLAGS := --disable-pip-version-check --no-input $(if $(CI),--quiet,)
UP_FLAGS ?=
# For example FUZZ_FLAGS='--seconds 600'.
FUZZ_FLAGS ?=
# What the images hold is a part of what the tests run with, in the same versions.
IMAGE_LOCK_FLAGS := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
    -c requirements/local.txt

.DEFAULT_GOAL := help
.PHONY: help up test test-engines test-kubernetes test-charts test-clients test-stores test-cluster fuzz check format generate lock bench bench-gateway bench-operator docs clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

up: $(VENV)/up.stamp ## Install KubeAI and serve SmolLM2 on this machine (Ctrl-C stops it)
	@$(BIN)/kubeai up --model examples/smollm2.yaml $(UP_FLAGS)

test: $(VENV)/dev.stamp ## Run the tests (under ten minutes, no root)
	$(BIN)/python -m pytest -m "not clients and not engines and not kubernetes and not charts and not cluster and not stores"

test-engines: $(VENV)/dev.stamp ## Run the end-to-end tests with the large engines (installs gigabytes, builds Ollama once)
	@ollama=$$(scripts/ollama) || [ $$? -eq 3 ] || exit 1; \
	PATH="$${ollama:+$$ollama:}$$PATH" $(BIN)/python -m pytest -m engines

test-kubernetes: $(VENV)/dev.stamp ## Run the tests against a real API server (needs Go and openssl; builds it once)
	@scripts/kubernetes/programs
	@scripts/helm version --short || echo "There is no Helm: the tests that install the chart are left out."
	$(BIN)/python -m pytest -m "kubernetes$$(scripts/helm version > /dev/null 2>&1 || echo ' and not charts')"

test-charts: $(VENV)/dev.stamp ## Run the tests of the Helm charts (needs Go, or HELM=PROGRAM; builds Helm once)
	@scripts/helm version --short
	$(BIN)/python -m pytest -m "charts and not kubernetes"

test-stores: $(VENV)/dev.stamp ## Run the tests of the model loader against a real S3 server (needs Go and openssl; builds it once)
	@scripts/versitygw --version > /dev/null
	$(BIN)/python -m pytest -m stores

test-clients: $(VENV)/clients.stamp ## Try OpenAI's and Anthropic's libraries, LangChain, Prometheus and others against a real model
	$(BIN)/python -m pytest -m clients tests/clients

fuzz: $(VENV)/fuzz.stamp ## Look for inputs that break the gateway, for some minutes; says how many were tried
	@$(BIN)/python -m tests.fuzz $(FUZZ_FLAGS)

test-cluster: $(VENV)/dev.stamp ## Run KubeAI on a whole Kubernetes node on this machine (needs Linux, root, Go)
	@scripts/kubernetes/node-programs
	@scripts/helm version --short
	@scripts/versitygw --version > /dev/null
	$(BIN)/python -m pytest -m cluster

check: $(VENV)/dev.stamp ## Lint, types, layers, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/generate.py --check
	$(BIN)/python scripts/helm_schema.py --check

format: $(VENV)/dev.stamp ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

generate docs: $(VENV)/dev.stamp ## Regenerate the CRD, the reference pages in docs/reference and the schemas of the charts' values
	$(BIN)/python scripts/generate.py
	$(BIN)/python scripts/helm_schema.py

bench: $(VENV)/dev.stamp ## Measure start-up, cold start and the gateway; prints tables
	$(BIN)/python -m benchmarks

bench-gateway: $(VENV)/dev.stamp ## Measure the gateway against nginx and others (12 minutes); writes docs/benchmarks
	$(BIN)/python -m benchmarks.gateway --write docs/benchmarks

bench-operator: $(VENV)/dev.stamp ## Measure the operator on a real API server and on the embedded one (15 minutes); writes docs/benchmarks
	$(BIN)/python -m benchmarks.control_plane --write docs/benchmarks

lock: $(VENV)/dev.stamp ## Pin the dependencies anew
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-header --extra local pyproject.toml -o requirements/local.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-header --extra dev pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-header --extra clients -c requirements/dev.txt pyproject.toml -o requirements/clients.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-header --extra fuzz -c requirements/dev.txt pyproject.toml -o requirements/fuzz.txt
	$(BIN)/uv pip compile $(IMAGE_LOCK_FLAGS) --extra otel pyproject.toml -o components/manager/requirements.txt
	$(BIN)/uv pip compile $(IMAGE_LOCK_FLAGS) components/model-loader/requirements.in \
	    -o components/model-loader/requirements.txt
	$(BIN)/uv pip compile $(IMAGE_LOCK_FLAGS) components/build-requirements.in -o components/build-requirements.txt

clean: ## Remove what the other targets installed
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# One environment, several grades: what runs (local.txt), what tests (dev.txt, a superset), and on top
# of it what tries clients, and what fuzzes.
$(VENV)/up.stamp: requirements/local.txt pyproject.toml
	@python=$$(scripts/find-python) && echo "Installing KubeAI with $$python into $(VENV)" && "$$python" -m venv $(VENV)
	@$(BIN)/python -m pip install $(PIP_FLAGS) --require-hashes -r requirements/local.txt
	@$(BIN)/python -m pip install $(PIP_FLAGS) --quiet --no-deps -e .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt pyproject.toml
	@python=$$(scripts/find-python) && echo "Installing the development environment with $$python into $(VENV)" && "$$python" -m venv $(VENV)
	@$(BIN)/python -m pip install $(PIP_FLAGS) --quiet --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install $(PIP_FLAGS) --quiet --no-deps -e .
	@touch $@

$(VENV)/clients.stamp: requirements/clients.txt $(VENV)/dev.stamp
	@$(BIN)/python -m pip install $(PIP_FLAGS) --quiet --require-hashes -r requirements/clients.txt
	@touch $@

$(VENV)/fuzz.stamp: requirements/fuzz.txt $(VENV)/dev.stamp
	@$(BIN)/python -m pip install $(PIP_FLAGS) --quiet --require-hashes -r requirements/fuzz.txt
	@touch $@
