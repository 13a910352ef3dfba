# Everything a stranger needs is two commands: `make run` and `make test`. Both work from a fresh clone on a machine
# that has Python 3.10 or newer with pip; both can be repeated and then do only what is left to do.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PORT   ?= 8000
# `make test TEST_EXTRAS=test,reference` also runs the comparisons with PyTorch (a large download).
TEST_EXTRAS ?= test

.DEFAULT_GOAL := help
.PHONY: help setup run test check format clean

help:  ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

# `python -m venv` needs ensurepip, which Debian packages apart from python3; pip alone can fill an empty venv as well.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "lipstream needs Python 3.10 or newer: install one and run make PYTHON=/path/to/python3 ..."; exit 1; }
	@echo "Creating $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || \
	  { rm -rf $(VENV) && $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $@ install --quiet pip; }

$(VENV)/.run-installed: pyproject.toml | $(BIN)/python
	@echo "Installing lipstream (about 100 MB to download) ..."
	@$(PIP) -e .
	@touch $@

$(VENV)/.test-installed: pyproject.toml | $(BIN)/python
	@echo "Installing lipstream with its test tools ..."
	@$(PIP) -e '.[$(TEST_EXTRAS)]'
	@touch $@ $(VENV)/.run-installed

setup: $(VENV)/.run-installed  ## install, then fetch and verify the models
	@$(BIN)/lipstream models pull

run: setup  ## install, fetch the models, serve on http://localhost:8000 (PORT=... for another)
	@$(BIN)/lipstream serve --port $(PORT)

check: $(VENV)/.test-installed  ## format check, lint and types only
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@if $(BIN)/python -c 'import numpy; assert numpy.__version__.startswith("2.4.")' 2>/dev/null; then \
	  echo $(BIN)/mypy; $(BIN)/mypy; else \
	  echo "NOTE: types are not checked: they fit those of NumPy 2.4, which needs Python 3.11 or newer."; fi

test: $(VENV)/.test-installed check  ## install, then format check, lint, types and every test with coverage
	@$(BIN)/lipstream models pull
	@command -v chromium >/dev/null || \
	  echo "NOTE: the browser tests need Debian's chromium package (apt-get install chromium); without it they are skipped."
	$(BIN)/pytest --cov --cov-report=term

format: $(VENV)/.test-installed  ## rewrite the sources in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove the virtual environment and what the tools left
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage htmlcov
