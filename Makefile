# HemaLens: `make app` opens the dashboard, `make test` runs every test, `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help app test train bench lint format lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("HemaLens needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.app: requirements.lock | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.dev: requirements.txt requirements-dev.txt | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/.app

app: $(VENV)/.app ## open the dashboard on http://127.0.0.1:8501 (ARGS="--port 9000")
	$(BIN)/python -m dashboard $(ARGS)

test: $(VENV)/.dev ## run every test (ARGS="-k decode")
	$(BIN)/python -m pytest $(ARGS)

train: $(VENV)/.app ## train a model (ARGS="--model cnn_se --size 64 --epochs 60")
	$(BIN)/python -m core train $(ARGS)

bench: $(VENV)/.dev ## measure training and prediction speed on this machine
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.inference
	$(BIN)/python -m benchmarks.first_answer

lint: $(VENV)/.dev ## check style, types, dead code and unsafe calls
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/vulture
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml core dashboard pages

lock: $(BIN)/python ## pin all that requirements.txt brings, with hashes, in requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet uv==0.13.9
	$(BIN)/uv pip compile requirements.txt --universal --python-version 3.11 --generate-hashes --quiet --custom-compile-command "make lock" --output-file requirements.lock

format: $(VENV)/.dev ## rewrite files in the project's style
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

clean: ## remove the environment and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache
