PYTHON ?= python3
BIN := .venv/bin
# Tests mostly wait for servers; one process more than there are cores keeps the cores busy.
JOBS ?= $(shell expr $$(nproc) + 1)
SECONDS ?= 120
STORE ?= sqlite
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE := uv pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-header --no-annotate

.DEFAULT_GOAL := help
.PHONY: help run setup test test-thorough test-faults test-upgrade coverage mutants unit check fix test-ha bench bench-quick lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/run ## install the service, then serve sample data on port 8000
	$(BIN)/cinelog serve --sample

setup: .venv/dev ## install everything, including tests and linters

test: .venv/dev .venv/clients/ready ## run the tests, in parallel, but the longest
	$(BIN)/pytest -n $(JOBS) --dist loadgroup -m "not thorough"

test-thorough: .venv/dev .venv/clients/ready ## run the longest tests: faults, deployment, generated clients and requests
	$(BIN)/pytest -n $(JOBS) --dist loadgroup -m thorough

coverage: .venv/dev .venv/clients/ready ## run every test and tell the branches that none takes
	$(BIN)/pytest -n $(JOBS) --dist loadgroup --cov --cov-report=term:skip-covered

test-faults: .venv/dev ## cause faults under load for SECONDS, check what clients saw (STORE, SEED)
	$(BIN)/python -m tests.consistency --seconds $(SECONDS) --store $(STORE) $(if $(SEED),--seed $(SEED))

.PHONY: test-checker
test-checker: .venv/dev ## find faults that are planted in the service, and check a million operations
	$(BIN)/python -m tests.consistency --planted
	$(BIN)/python -m tests.consistency --made 1000000

test-upgrade: .venv/dev ## run the release before (built from git) and this one side by side
	$(BIN)/pytest tests/upgrade/side_by_side.py

.PHONY: test-flood
test-flood: .venv/dev ## hold PostgreSQL up for 20 s under a flood of writes and check the reads
	FLOOD_S=20 $(BIN)/pytest -s tests/service/faults/test_flood.py

unit: .venv/dev ## run the fast tests: no server, no process
	$(BIN)/pytest -m unit

test-ha: .venv/dev ## take primaries of PostgreSQL and Redis out under load (ARGS="--kills 100"; root, Debian's patroni)
	$(BIN)/python -m tests.ha.run $(ARGS)

check: .venv/dev ## run the linters and the type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@if command -v luacheck >/dev/null; then luacheck --quiet .; else echo "luacheck is not installed: Lua is not checked"; fi

fix: .venv/dev ## format the code and apply safe linter fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/dev ## measure this service beside others, in some hours (requires wrk, node)
	$(BIN)/python -m benchmarks.contest

bench-quick: .venv/dev ## the same with few contenders, in three minutes once they are set up
	$(BIN)/python -m benchmarks.contest --quick --output var/bench

mutants: .venv/mutants ## change commands and projections and tell what no test notices, in hours
	$(BIN)/mutmut run $(ONLY)
	$(BIN)/python -m tests.mutants.score

lock: ## update the pinned dependencies, with hashes (requires uv)
	$(COMPILE) pyproject.toml -o requirements.txt
	$(COMPILE) requirements-build.in -o requirements-build.txt
	$(COMPILE) requirements-backup.in -o requirements-backup.txt
	$(COMPILE) --no-strip-extras requirements-dev.in -o requirements-dev.txt
	$(COMPILE) tests/clients/requirements.in -o tests/clients/requirements.txt
	$(COMPILE) tests/mutants/requirements.in -o tests/mutants/requirements.txt

.PHONY: secrets test-deploy

test-deploy: .venv/dev ## run docker-compose.yml without containers, and take its parts away (requires root)
	$(BIN)/pytest tests/deploy tests/deploy/outages.py

secrets: ## make the passwords that docker-compose.yml reads, unless they exist
	@chmod 700 deploy/secrets # the files are readable for the users of the containers
	@for name in postgres valkey grafana; do \
	    test -s deploy/secrets/$$name || { umask 022; $(PYTHON) -c 'import secrets; print(secrets.token_hex(24))' >deploy/secrets/$$name; }; \
	done

clean: ## remove the environment and the caches
	rm -rf .venv mutants tests/clients/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*

.venv/run: requirements.txt requirements-build.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r requirements.txt -r requirements-build.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

.venv/dev: .venv/run requirements-dev.txt
	$(PIP) --require-hashes -r requirements-dev.txt
	touch $@

.venv/mutants: .venv/dev tests/mutants/requirements.txt
	$(PIP) --require-hashes -r tests/mutants/requirements.txt
	touch $@

# Client code generators; tests that need npm or Java are skipped if these are missing.
.venv/clients/ready: .venv/dev tests/clients/requirements.txt tests/clients/package.json
	$(PYTHON) -m venv .venv/clients
	.venv/clients/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/clients/requirements.txt
	if command -v npm >/dev/null; then npm install --prefix tests/clients --no-package-lock --no-audit --no-fund --silent; fi
	touch $@
