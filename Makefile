PYTHON ?= python3
DEMO = .venv-demo/bin
DEV = .venv/bin

.PHONY: demo test test-old-cpu test-slow test-web test-hosts test-programs check docs clean

demo: .venv-demo/ready  ## Restore a real photograph by all three tasks.
	$(DEMO)/python examples/demo.py demo

test: .venv/ready  ## The quick test suite, on every core.
	$(DEV)/python -m pytest -n auto --dist worksteal

test-old-cpu: .venv/ready  ## The engine and the models as on older CPUs: no VNNI, AVX-512 or bf16.
	ONEDNN_MAX_CPU_ISA=SSE41 $(DEV)/python -m pytest -n auto --dist worksteal tests/test_backends.py tests/test_quantize.py
	ONEDNN_MAX_CPU_ISA=AVX2 $(DEV)/python -m pytest -n auto --dist worksteal tests/test_engine.py \
	  tests/test_backends.py tests/test_quantize.py tests/test_models.py

test-slow: .venv/ready  ## Everything, also what needs minutes.
	$(DEV)/python -m pytest -m "not web and not hosts"

test-web: .venv/ready-web  ## The page, driven by a browser; what its interface answers to anything.
	$(DEV)/python -m pytest -m "web and not slow"

test-hosts: .venv/ready-hosts  ## The programs that hyperrestore works in, each with its own libraries.
	$(DEV)/python -m pytest -m "hosts and not slow"

test-programs:  ## exiftool and GNU parallel, without which the test suite skips what needs them.
	test -x /usr/bin/exiftool -a -x /usr/bin/parallel || { \
	  apt-get update --quiet && apt-get install --quiet --yes libimage-exiftool-perl parallel; }

check: .venv/ready  ## Style, types and the direction of imports.
	$(DEV)/ruff check . && $(DEV)/ruff format --check .
	$(DEV)/mypy
	$(DEV)/lint-imports

docs: .venv/ready  ## The documentation site, in docs/_build; a warning is an error.
	$(DEV)/python -m sphinx --quiet --fail-on-warning --keep-going docs docs/_build

.venv-demo/ready: pyproject.toml
	$(PYTHON) -m venv .venv-demo
	$(DEMO)/pip install --quiet --disable-pip-version-check --editable '.[demo]' && touch $@

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(DEV)/pip install --quiet --disable-pip-version-check --constraint constraints.txt 'torch'
	$(DEV)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]' && touch $@

.venv/ready-web: .venv/ready
	$(DEV)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test-web]'
	test -x /usr/bin/chromium || { apt-get update --quiet && apt-get install --quiet --yes chromium; }
	touch $@

.venv/ready-hosts: .venv/ready-web
	$(DEV)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test-hosts]'
	command -v npm > /dev/null || { apt-get update --quiet && apt-get install --quiet --yes npm; }
	command -v xvfb-run > /dev/null || { apt-get update --quiet && apt-get install --quiet --yes xvfb libegl1 libgl1 \
	  libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxkbcommon-x11-0; }
	touch $@

clean:
	rm -rf .venv .venv-demo demo
