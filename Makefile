# Each target sets up what it needs, is safe to repeat, and is quick the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LIVE := test_live_validation.py test_live_scaling.py test_live_engine.py
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.PHONY: run test slow check ui accuracy bench clean

run: $(VENV)/.run  ## a real answer: one big machine or many small ones?
	$(BIN)/headroom compare one-big-or-many-small --out answer
	@echo
	@echo "Plot: answer/frontier.svg. Try next:"
	@echo "  $(BIN)/headroom compare one-big-or-many-small --set workloads.texts.arrivals.rate=900/s"
	@echo "  $(BIN)/headroom run evening-rush"
	@echo "  $(BIN)/headroom list"
	@echo "  make ui"

ui: $(VENV)/.run  ## the app, in the browser
	$(BIN)/headroom ui

test: check  ## everything that needs no system package; names what it skipped and why
	$(BIN)/python -m pytest -rs -n auto

slow: $(VENV)/.test  ## do the stated intervals cover, and real servers agree? about an hour; writes docs/coverage.md
	$(BIN)/python benchmarks/coverage.py
	PYTHONPATH=tests $(BIN)/python benchmarks/input_coverage.py
	$(PIP_INSTALL) '.[ray,transformers]'
	$(BIN)/python -m pytest -rs -m slow -n auto $(addprefix --ignore tests/,$(LIVE))
	$(BIN)/python -m pytest -rs -m slow $(addprefix tests/,$(LIVE))

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

accuracy: $(VENV)/.test  ## exact formulas, system by system; writes docs/accuracy.md
	PYTHONPATH=tests $(BIN)/python benchmarks/accuracy.py

bench: $(VENV)/.test  ## speed against textbook SimPy and Ciw, as ratios; writes docs/performance.md
	$(BIN)/python benchmarks/engine.py --write docs/performance.md
	$(BIN)/python benchmarks/llm_speed.py --write docs/performance.md

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Headroom needs Python 3.11 or newer; say which with: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(BIN)/python pyproject.toml constraints.txt
	$(PIP_INSTALL) .
	@touch $@

$(VENV)/.test: $(BIN)/python pyproject.toml constraints.txt
	$(PIP_INSTALL) '.[calibration,dev]'
	@touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) answer dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
