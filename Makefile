# `make` lists the targets. State goes under PLATFORM_HOME (default .platform/); the tools live in .venv/.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo ui test test-slow check bench bench-quick format lock online-retail clean

FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do "$$p" -c '$(FITS)' 2>/dev/null && echo "$$p" && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV := $(BIN)/uv
PEERS := benchmarks/.venv/bin/python
export PLATFORM_HOME ?= $(CURDIR)/.platform
export DAGSTER_HOME := $(PLATFORM_HOME)/dagster

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) .env ## make .venv from the lock, once
	@:

demo: setup ## a sample shop, from drop files to published tables, and a summary
	@$(BIN)/data-platform demo

ui: setup ## the web UI and the daemon on 127.0.0.1:3000
	@$(BIN)/data-platform init >/dev/null
	@$(BIN)/dagster dev -w workspace.yaml -h 127.0.0.1 -p 3000

test: setup ## the tests, but for the slow ones
	@$(BIN)/pytest -n logical --maxprocesses 4 --dist loadfile

test-slow: setup ## the slow tests: many processes, whole years, real browsers
	@$(BIN)/pytest -m slow

check: setup ## lint, format, types, SQL, and generated files that drifted
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy data_platform
	@$(BIN)/sqlfluff lint --processes 2 dbt
	@$(BIN)/python -m data_platform.contracts.dbt_yml --check

bench: setup $(PEERS) ## all benchmarks, hours; what has a result of this commit is skipped; benchmarks/README.md
	@$(BIN)/python -m benchmarks run

bench-quick: setup ## every benchmark with tiny sizes: ratios only, in minutes
	@$(BIN)/python -m benchmarks run --quick --again

format: setup ## rewrite Python and SQL in the house style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/sqlfluff fix dbt

lock: setup ## compile requirements.lock from requirements.in and requirements-dev.in
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
	  --override requirements-overrides.in requirements.in requirements-dev.in -o requirements.lock

online-retail: setup ## load a real shop's year of invoices: make online-retail FILE=….parquet
	@test -n "$(FILE)" || { echo 'FILE is not set. Fix: make online-retail FILE=path/to/the/invoices.parquet' >&2; exit 2; }
	@$(BIN)/data-platform land "$(FILE)" --feed online_retail --load

clean: ## remove .venv and caches; .platform/ with its data stays
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .env dbt/target dbt/logs *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo 'No Python 3.11, 3.12 or 3.13 found. Fix: install one, then: make setup PYTHON=/path/to/python3.12' >&2; exit 2; }
	@$(PYTHON) -c '$(FITS)' || { echo '`$(PYTHON)` is not Python 3.11, 3.12 or 3.13. Fix: make setup PYTHON=/path/to/python3.12' >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo 'The Python module `venv` is missing. Fix: install your system'"'"'s package `python3-venv`' >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)

# pip brings uv, checked against the lock's own hashes; uv brings the rest.
$(STAMP): requirements.lock pyproject.toml | $(BIN)/python
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.txt
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.txt
	@$(UV) pip install --system-certs --quiet --compile-bytecode --python $(BIN)/python --require-hashes --no-deps -r requirements.lock
	@$(UV) pip install --system-certs --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# The benchmark's peers, apart from what the platform is pinned to.
$(PEERS): benchmarks/requirements.in | setup
	@$(PYTHON) -m venv benchmarks/.venv
	@$(UV) pip install --system-certs --quiet --python $@ -r $<
	@touch $@

# `dg` and `dagster` read this file; a PLATFORM_HOME from the shell wins over the one written here.
.env:
	@printf 'PLATFORM_HOME="$${PLATFORM_HOME:-%s}"\nDAGSTER_HOME="$${PLATFORM_HOME}/dagster"\n' '$(CURDIR)/.platform' > $@
