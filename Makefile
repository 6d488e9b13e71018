# `make up` and `make test` need only Python. Nothing outside this folder is changed; the
# environment is in .venv.

.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Drivers that only their own users need.
WAREHOUSES := --no-extra snowflake --no-extra bigquery
# With it set, each process would compile its imports again, at twice the CPU.
unexport PYTHONDONTWRITEBYTECODE
# uv keeps its cache in the home; where that cannot be written, in the checkout.
ifneq ($(shell test -w "$$HOME" && echo yes),yes)
export UV_CACHE_DIR := $(CURDIR)/$(VENV)/uv-cache
endif

.PHONY: help up down test quick mutants check audit fix serve retrain bench demo-drift faults images

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(READY) ## start everything, and train what has no champion yet
	@$(BIN)/overnight up

down: $(READY) ## stop all services; `make up` continues
	@$(BIN)/overnight down

# Two workers a core, because most tests wait for their servers; one more than cores where no server
# starts. Files that share a server go to one worker.
TOGETHER := --no-loadscope-reorder --durations 20

test: $(READY) ## run every test, real servers and browser included
	@$(BIN)/pytest -n auto $(TOGETHER)

# Files outside tests/faults inject faults into one process, or into Prefect's server alone, or have
# tests that take minutes by themselves.
# MINUTES=20 is the duration of each long test; SEED=7 repeats another sequence of random faults.
FAULTS := tests/faults tests/browser/test_first_start.py tests/projects/test_three_nights.py tests/test_starter_guides.py tests/infra/stack/test_orphan_runs.py tests/serving/lifecycle/test_full_disks.py \
	tests/serving/lifecycle/test_available_memory.py tests/serving/lifecycle/test_outages.py \
	tests/serving/lifecycle/test_promotions_under_load.py \
	tests/serving/test_serving_process.py tests/serving/lifecycle/test_signatures.py

faults: $(READY) ## kill, cut, fill and race every part, and print the counts
	@OVERNIGHT_TEST_LOAD_SECONDS=60 OVERNIGHT_TEST_SWAPS=200 $(BIN)/pytest $(FAULTS) --faults-minutes $(or $(MINUTES),0) \
		$(if $(SEED),--faults-seed $(SEED))

quick: $(READY) ## run the tests that start no server or process, and train nothing
	@$(BIN)/pytest -n logical $(TOGETHER) -m "not servers and not training"

# In a copy, because mutmut follows no links; what it found there is kept, so that a second run
# tries only what changed. Survivors are listed at the end; `mutmut show NAME` shows one there.
MUTANTS := $(VENV)/mutants

mutants: $(READY) ## break gates, registry, host state and data gates line by line; about 30 minutes
	@UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv sync --frozen --all-extras $(WAREHOUSES) --group mutants --quiet
	@rm -rf $(MUTANTS)/overnight $(MUTANTS)/tests && mkdir -p $(MUTANTS)
	@cp -rLp overnight tests pyproject.toml deployments.yaml README.md $(MUTANTS)
	@cd $(MUTANTS) && ../bin/mutmut run && ../bin/mutmut results

check: $(READY) ## check format, lint, types, the import law and the lock; edits nothing
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/uv lock --check --quiet

audit: $(READY) ## compare the locked packages with known vulnerabilities
	@$(BIN)/python -m overnight.infra.audit_dependencies

fix: $(READY) ## format, and correct what the linter can correct
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

serve: $(READY) ## start serving alone
	@$(BIN)/python -m overnight.serving

retrain: $(READY) ## ingest new data and retrain the digits
	@$(BIN)/overnight retrain digits

# The first run downloads 4 GB of other servers, each into its own environment in .venv/peers, and
# trains the network that all of them serve. Servers that cannot be installed are reported and skipped.
CLASSIC := $(VENV)/peers/network/network.tflite

bench: $(READY) ## run the benchmarks, about an hour; each file names its claim
	@$(BIN)/python -m benchmarks.serving.peers --rounds 1 --seconds 2 --results $(VENV)/quick-peers.json
	@$(BIN)/python -m benchmarks.serving.overhead 2 digits
	@$(BIN)/python -m benchmarks.serving.grpc
	@$(BIN)/python -m benchmarks.serving.start 5 $(CLASSIC)
	@$(BIN)/python -m benchmarks.serving.promotion 3
	@$(BIN)/python -m benchmarks.serving.swap 200 $(CLASSIC)
	@$(BIN)/python -m benchmarks.serving.challenger 2 3
	@$(BIN)/python -m benchmarks.serving.batching
	@$(BIN)/python -m benchmarks.serving.prediction_log 2 digits 9
	@$(BIN)/python -m benchmarks.monitoring.collect 100000 1000000
	@$(BIN)/python -m benchmarks.scoring.per_row 20000 5 1000000
	@$(BIN)/python -m benchmarks.gates.error_rates --draws 2000
	@$(BIN)/python -m benchmarks.monitoring.detector --streams 50
	@$(BIN)/python -m benchmarks.monitoring.drift --seeds 2
	@$(BIN)/python -m benchmarks.monitoring.whole_days --worlds 1
	@$(BIN)/python -m benchmarks.training.nothing_to_do 3
	@$(BIN)/python -m benchmarks.training.whole_flow
	@$(BIN)/python -m benchmarks.training.time_to_accuracy --results $(VENV)/quick.json
	@$(BIN)/python -m benchmarks.sales.backtest
	@$(BIN)/python -m benchmarks.ingest.csv_files --rows 5000000 --rounds 3

# BASE=debian-with-python builds on another image with Python 3.11 to 3.13; BUILDER=docker by docker.
BUILDER := buildah
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' overnight/__init__.py)

images: ## build the container images of serving and worker
	@for image in serving worker; do \
		$(BUILDER) build $(if $(filter buildah podman,$(BUILDER)),--format docker) \
			$(if $(BASE),--build-arg BASE=$(BASE)) $(OPTIONS) \
			--tag localhost/overnight-$$image:$(VERSION) --file infra/images/$$image.Dockerfile .; \
	done

# In a home of its own, .venv/demo-drift, which stays to be looked at.
demo-drift: $(READY) ## drift on genuine digits: noticed, retrained for, and learned; 10 minutes
	@$(BIN)/python -m benchmarks.monitoring.demo_drift

# uv installs itself too, because it is in the lock file.
$(READY): uv.lock pyproject.toml
	@test -x $(BIN)/python || "$$(./.ci/python)" -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv sync --frozen --all-extras $(WAREHOUSES) --compile-bytecode
	@touch $@
