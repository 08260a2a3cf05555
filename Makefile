# Each target sets up what it needs in .venv, on a machine with only Python.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STUDY ?= tests

.PHONY: quickstart test package docs lint format study benchmark clean

quickstart: $(VENV)/.experiments
	$(BIN)/al-jax run --config=configs/quickstart.py \
	  --workdir=runs/quickstart --overwrite
	$(BIN)/al-jax report --workdir=runs/quickstart

# Two processes: the suite is mostly compilation, which takes one core.
test: $(VENV)/.test
	$(BIN)/python -m pytest tests al_jax --doctest-modules -n 2 \
	  --dist loadfile --no-loadscope-reorder

# What somebody gets who installs the wheel, in an environment of its own.
package: | $(BIN)/python
	$(BIN)/python tests/package.py

# The site, in site/docs/index.html. A warning, such as a broken link, fails.
docs: $(VENV)/.docs
	$(BIN)/sphinx-build --fail-on-warning --keep-going -q -c docs . site

# Slow studies on real data: their figures are in docs/.
study: $(VENV)/.test
	$(BIN)/python -m pytest -m study $(STUDY)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: $(VENV)/.benchmark
	$(BIN)/python -m experiments.benchmark training
	$(BIN)/python -m experiments.benchmark kernels

# Also the compiled programs that tests/conftest.py keeps.
clean:
	rm -rf $(VENV) ~/.cache/al_jax_tests

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "al_jax needs Python 3.11 or newer; $(PYTHON) is" \
	    "$$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; \
	    exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.experiments: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check \
	  -e '.[experiments]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[test]'
	@touch $@ $(VENV)/.experiments

$(VENV)/.docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[docs]'
	@touch $@ $(VENV)/.experiments

$(VENV)/.benchmark: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check \
	  -e '.[benchmark]'
	@touch $@ $(VENV)/.experiments
