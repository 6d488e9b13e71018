# Everything from a checkout and a Python: `make up`, `make test`. Nothing outside this folder is
# changed; the environment lives in .venv.

.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Without it each process would compile what it imports again, at twice the CPU.
unexport PYTHONDONTWRITEBYTECODE
# uv keeps its cache in the home; where that cannot be written, in the checkout.
ifneq ($(shell test -w "$$HOME" && echo yes),yes)
export UV_CACHE_DIR := $(CURDIR)/$(VENV)/uv-cache
endif

.PHONY: help up down test quick check audit fix serve retrain bench faults

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(READY) ## start everything, and train what has no champion yet
	@$(BIN)/overnight up

down: $(READY) ## stop everything, and lose nothing
	@$(BIN)/overnight down

# Two workers a core, for most tests wait for servers of theirs; one more than cores where none is
# started. What starts servers for many tests stays with one worker.
TOGETHER := --no-loadscope-reorder --durations 20

test: $(READY) ## run every test, real servers and browser included
	@$(BIN)/pytest -n auto $(TOGETHER)

# What is beside tests/faults goes wrong in one process, or at Prefect's server alone.
# MINUTES=20 makes the long ones so long; SEED=7 has all chance fall otherwise, and again the same.
FAULTS := tests/faults tests/browser/test_first_start.py tests/infra/stack/test_orphan_runs.py tests/serving/lifecycle/test_full_disks.py \
	tests/serving/lifecycle/test_memory.py tests/serving/test_outages.py \
	tests/serving/test_promotions_under_load.py \
	tests/serving/test_serving_process.py tests/serving/test_signatures.py

faults: $(READY) ## kill, cut, fill and race everything, and print the tally
	@OVERNIGHT_TEST_LOAD_SECONDS=60 $(BIN)/pytest $(FAULTS) --faults-minutes $(or $(MINUTES),0) \
		$(if $(SEED),--faults-seed $(SEED))

quick: $(READY) ## run the tests that start no server or process of ours, and train nothing
	@$(BIN)/pytest -n logical $(TOGETHER) -m "not servers and not training"

check: $(READY) ## check format, lint, types, the import law and the lock; edits nothing
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/uv lock --check --quiet

audit: $(READY) ## look the locked packages up among known vulnerabilities
	@$(BIN)/python -m overnight.infra.audit_dependencies

fix: $(READY) ## format, and correct what the linter can correct
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

serve: $(READY) ## serve the champions, and nothing else
	@$(BIN)/python -m overnight.serving

retrain: $(READY) ## take in what arrived and retrain the digits
	@$(BIN)/overnight retrain digits

# The first run fetches 4 GB of peers, each into an environment of its own in .venv/peers, and makes
# the network that all of them are asked about. What cannot be installed is told and left out.
CLASSIC := $(VENV)/peers/network/network.tflite

bench: $(READY) ## run the benchmarks, about an hour; each file says what it justifies
	@$(BIN)/python -m benchmarks.serving.peers --rounds 1 --seconds 2 --results $(VENV)/quick-peers.json
	@$(BIN)/python -m benchmarks.serving.overhead 2 digits
	@$(BIN)/python -m benchmarks.serving.start 5 $(CLASSIC)
	@$(BIN)/python -m benchmarks.serving.promotion 3
	@$(BIN)/python -m benchmarks.serving.swap 200 $(CLASSIC)
	@$(BIN)/python -m benchmarks.serving.challenger 2 3
	@$(BIN)/python -m benchmarks.serving.batching
	@$(BIN)/python -m benchmarks.gates.error_rates --draws 2000
	@$(BIN)/python -m benchmarks.training.nothing_to_do 3
	@$(BIN)/python -m benchmarks.training.whole_flow
	@$(BIN)/python -m benchmarks.training.time_to_accuracy --results $(VENV)/quick.json
	@$(BIN)/python -m benchmarks.sales.backtest
	@$(BIN)/python -m benchmarks.ingest.csv_files --rows 5000000 --rounds 3

# uv brings itself along, because it is among the tools of the lock file.
$(READY): uv.lock pyproject.toml
	@test -x $(BIN)/python || "$$(./.ci/python)" -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv sync --frozen --all-extras --compile-bytecode
	@touch $@
