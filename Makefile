# Each target makes or renews .venv by itself when it has to, so that each works as the first command after a clone.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install demo serve test test-fast conformance lint format bench results-models gate-simulation peers lock clean

PY := .venv/bin/python
# What is on a screen should be what a test checks, and nothing else.
export TF_CPP_MIN_LOG_LEVEL ?= 3

help:  ## This list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

install:  ## .venv with exactly the tested packages; does nothing when it has them.
	@bash scripts/install.sh

demo: install  ## Scanned digits of very unequal classes, end to end, in minutes; then the report.
	.venv/bin/tailgan run configs/digits.yaml
	.venv/bin/tailgan report --root runs/digits
	@echo "Serve it, with a page at http://localhost:8501/: .venv/bin/tailgan serve --root runs/digits"

serve: install  ## The newest run's generator over TensorFlow Serving's protocol, on this machine (docs/serving.md).
	.venv/bin/tailgan serve --enable_batching

# Two at once: many a test is a process that imports TensorFlow and then waits. A file's tests share what they set up.
PYTEST := $(PY) -m pytest --numprocesses 2 --dist loadfile

test: install  ## All tests, the fast ones first.
	$(PYTEST) -m "not e2e"
	$(PYTEST) -m e2e

test-fast: install  ## The tests that take seconds.
	$(PYTEST) -m "not e2e"

conformance: install  ## TensorFlow Serving's protocol; URL=http://host:8501 [GRPC=host:8500] [MODEL=gen] asks another server.
	CONFORMANCE_URL="$(URL)" CONFORMANCE_GRPC="$(GRPC)" CONFORMANCE_MODEL="$(or $(MODEL),gen)" \
		$(PY) -m pytest tests/conformance/test_conformance.py

lint: install  ## ruff and mypy.
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: install  ## The formatter, and the fixes that are safe.
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

bench: install peers  ## The benchmarks, each a table; downloads what they compare with.
	@for file in benchmarks/{demo,ingest,startup,train_step,profile_step,metrics,serving}.py; do echo "== $$file"; $(PY) "$$file" || exit 1; done

results-models: install  ## Every family of networks and every loss, trained on the digits: a table.
	@$(PY) benchmarks/results_models.py

gate-simulation: install  ## How often the gate errs, on Gaussian classes: two tables; takes hours.
	@$(PY) benchmarks/gate_simulation.py

peers: install  ## .venv-peers with what the benchmarks compare with.
	@bash scripts/install.sh peers

lock: install  ## requirements.txt anew from pyproject.toml.
	@bash scripts/install.sh lock

clean:  ## Removes .venv and caches; results under runs/ stay.
	rm -rf .venv .venv-peers build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
