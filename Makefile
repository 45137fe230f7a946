# All targets work on a fresh clone; the first one makes .venv.
PYTHON ?= python3
BIN := .venv/bin
NODE_BIN := .venv/node/node_modules/.bin
CONSTRAINTS := .ci/constraints.txt
# The files of tests are in memory where there is room for them: a disk makes them wait.
export PYTEST_DEBUG_TEMPROOT := $(wildcard /dev/shm)
# Containers often set it. The tests start hundreds of interpreters, and each would compile anew.
unexport PYTHONDONTWRITEBYTECODE
N ?= 300
ENGINE ?= sqlite
JOBS ?= 4
ifeq ($(origin DATABASE),command line)
run: export SHARED_REPORTS_DATABASE := $(value DATABASE)
endif

.DEFAULT_GOAL := help
.PHONY: help run test test-fast coverage schemathesis client lint-api lint-pages audit bench crash soak stalls image clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(if $(filter postgres%,$(DATABASE)),.venv/postgresql,.venv/run)  ## Serve a demonstration with a link to click; DATABASE=postgresql://…
	@$(BIN)/shared-reports serve --demo

test: .venv/dev  ## Run the linters, the type checker and all tests, on JOBS=4 processes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses=$(JOBS)

test-fast: .venv/dev  ## Run the tests within one process, on SQLite: no browser, crash, server or load
	$(BIN)/pytest --numprocesses=$(JOBS) -m 'not slow' --engine sqlite

coverage: .venv/dev  ## Run the tests and show the branches they miss
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

schemathesis: .venv/dev .venv/strangers/installed  ## Let schemathesis try to prove the API's description wrong
	$(BIN)/python tests/strangers/run.py schemathesis

client: .venv/dev .venv/strangers/installed  ## Generate a client from the API's description, and use it
	$(BIN)/python tests/strangers/run.py client

lint-api: .venv/node/installed  ## Lint the API's description by redocly's and spectral's rules
	@REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true $(NODE_BIN)/redocly lint --config .ci/node/redocly.yaml docs/openapi.json
	@$(NODE_BIN)/spectral lint --fail-severity hint --ruleset .ci/node/spectral.yaml docs/openapi.json

lint-pages: .venv/dev .venv/node/installed  ## Check every kind of page with the Nu HTML checker; needs java
	@$(BIN)/python tests/strangers/pages.py .venv/node/node_modules/vnu-jar/build/dist/vnu.jar

audit: .venv/audit/installed  ## Look for known weaknesses in what we are built on
	.venv/audit/bin/pip-audit --disable-pip --no-deps --requirement $(CONSTRAINTS)

bench: .venv/dev .venv/bench/installed  ## Measure the service beside bare aiohttp and beside others; QUICK=1 is short
	$(BIN)/python tests/bench

crash: .venv/dev  ## Kill the service N times (300) in its work, and see whether it kept its promises; ENGINE=postgresql kills instances and the server
	$(BIN)/python tests/crash/storm.py $(ENGINE) $(N) $(SEED)

soak: .venv/dev  ## Let everything happen at once for MINUTES=20, and see whether anything grows
	$(BIN)/python tests/soak/soak.py $(or $(MINUTES),20)

stalls: .venv/dev  ## Send the worst request to each route RUNS=3 times, and show who waits for it and how long
	@$(BIN)/python tests/stalls/stalls.py $(or $(RUNS),3) "$(CASES)"

image: .venv/dev  ## Build the image with buildah and start it; BASE=docker.io/library/python:3.13-slim, or a base by debootstrap
	deploy/image.sh
	TEST_IMAGE=1 $(BIN)/pytest -q tests/test_image.py

clean:  ## Remove what the targets above have made
	rm -rf .venv .bench .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/run: pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11 …")'
	@echo "Installing into .venv …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) --editable .
	@touch $@

.venv/postgresql: .venv/run
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) --editable '.[postgresql]'
	@touch $@

.venv/dev: .venv/run
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) --editable '.[dev]'
	@touch $@

# Strangers have an environment of their own: what they need must not decide what we run with.
.venv/strangers/installed: .venv/run .ci/strangers.txt
	@$(PYTHON) -m venv .venv/strangers
	@.venv/strangers/bin/pip install --quiet --disable-pip-version-check --requirement .ci/strangers.txt
	@touch $@

# Linters from npm. The lock file has hashes and no addresses; no install script is run.
.venv/node/installed: .ci/node/package.json .ci/node/package-lock.json
	@mkdir -p $(@D)
	@cp .ci/node/package.json .ci/node/package-lock.json $(@D)
	@cd $(@D) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.venv/audit/installed: .venv/run .ci/audit.txt
	@$(PYTHON) -m venv .venv/audit
	@.venv/audit/bin/pip install --quiet --disable-pip-version-check --requirement .ci/audit.txt
	@touch $@

# Whom we are measured against; what we share with them has the same version there.
.venv/bench/installed: .venv/run .ci/bench.txt
	@$(PYTHON) -m venv .venv/bench
	@.venv/bench/bin/pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) --requirement .ci/bench.txt
	@touch $@
