PYTHON ?= python3
DEMO = .venv-demo/bin
DEV = .venv/bin

.PHONY: demo test test-slow check clean

demo: .venv-demo/ready  ## Restore a real photograph at three levels.
	$(DEMO)/python examples/demo.py demo

test: .venv/ready  ## The quick test suite.
	$(DEV)/python -m pytest

test-slow: .venv/ready  ## Everything, also what needs minutes.
	$(DEV)/python -m pytest -m "slow or not slow"

check: .venv/ready  ## Style, types and the direction of imports.
	$(DEV)/ruff check . && $(DEV)/ruff format --check .
	$(DEV)/mypy
	$(DEV)/lint-imports

.venv-demo/ready: pyproject.toml
	$(PYTHON) -m venv .venv-demo
	$(DEMO)/pip install --quiet --disable-pip-version-check --editable '.[demo]' && touch $@

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(DEV)/pip install --quiet --disable-pip-version-check --constraint constraints.txt 'torch'
	$(DEV)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]' && touch $@

clean:
	rm -rf .venv .venv-demo demo
