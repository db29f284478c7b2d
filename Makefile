# Perhop: `make run` needs Python 3.11+ with venv, nothing else; `make test` installs what the tests drive.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JS_CLIENTS := tests/clients/js
PORT ?= 8080
COUNT ?= 50
MINUTES ?= 120
PROCESSES ?= 2
SYSTEM_PACKAGES := chromium fonts-dejavu-core nats-server postgresql

# Each of the servers that tests start would compile the whole source again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup setup-dev system run test lint format types layers bench soak chaos fuzz clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.run: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(JS_CLIENTS)/node_modules/.installed: $(VENV)/.dev $(JS_CLIENTS)/package.json $(JS_CLIENTS)/package-lock.json
	$(BIN)/python tools/npm_ci.py $(JS_CLIENTS)
	@touch $@

setup: $(VENV)/.run ## Create .venv with everything needed to run

setup-dev: $(VENV)/.dev $(JS_CLIENTS)/node_modules/.installed ## The same, with what tests and checks need

system: ## Install the Debian packages the tests drive (as root; otherwise says what is missing)
	@sh tools/system-packages.sh $(SYSTEM_PACKAGES)

run: setup ## Start Perhop on http://127.0.0.1:8080 and print the address of the demo page
	$(BIN)/perhop serve --port $(PORT)

test: setup-dev system lint ## Lint, types, import layers and all tests
	$(BIN)/python -m pytest -n $(PROCESSES)

lint: setup-dev ## Style, types, import layers
	$(BIN)/ruff check src tests bench examples tools
	$(BIN)/ruff format --check src tests bench examples tools
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup-dev ## Rewrite the source in the project's style
	$(BIN)/ruff check --fix src tests bench examples tools
	$(BIN)/ruff format src tests bench examples tools

bench: setup-dev ## Run every benchmark; results go to bench/results/
	$(BIN)/python bench/run.py

soak: setup-dev ## Two busy hours (MINUTES=…): does memory grow? The result goes to bench/results/soak.md
	$(BIN)/python bench/soak.py --minutes $(MINUTES)

chaos: setup-dev system ## Sockets, databases, the bus and workers broken under load, COUNT times each; bench/results/chaos.md
	$(BIN)/python bench/chaos.py --count $(COUNT)

fuzz: setup-dev ## A minute of bent frames, 10,000 walks, 2,000 races, then new examples for every property
	$(BIN)/python -m tests.fuzz
	HYPOTHESIS_PROFILE=explore $(BIN)/python -m pytest tests/media tests/realtime tests/text tests/tools

clean: ## Remove the environment and caches
	rm -rf $(VENV) $(JS_CLIENTS)/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
