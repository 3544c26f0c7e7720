# Two commands matter: `make demo` and `make test`. Each sets up .venv on its first call.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := $(shell grep '^torch==' constraints.txt)
# One numerical thread for each process: the cells are small, and relaxations run side by side.
export OMP_NUM_THREADS ?= 1

# Tuning and scouting run alone, and gain from a few threads.
DEMO_THREADS := $(shell $(PYTHON) -c 'import os; print(min(4, os.cpu_count() or 1))')

# Tests of one file share searches, so that one process takes them all. Files keep their order: reordered by how many
# tests they hold, those with a few long ones would come last, and one process would wait for the other.
SIDE_BY_SIDE := -n auto --dist loadfile --no-loadscope-reorder

.PHONY: help demo test coverage mace integration lint docs clean
.NOTPARALLEL:

help:  ## Show this list
	@sed -n 's/^\([a-z]*\): .*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

demo: $(VENV)/.stamp-base  ## Install, then find the ground state of the cadmium vacancy in CdTe
	@sed -n '/<!-- demo:begin -->/,/<!-- demo:end -->/p' README.md | sed '1d;$$d'
	OMP_NUM_THREADS=$(DEMO_THREADS) $(BIN)/defectscout search examples/CdTe.cif --defect v_Cd --charge 0 --learn -o demo/ \
		--set learn.tuning.frames_seen=250 --set learn.patience=1 --set learn.checks=0 --set learn.keep=false

test: $(VENV)/.stamp-dev lint  ## Install with the development tools, then check and test everything
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --durations=15

coverage: $(VENV)/.stamp-dev  ## The same tests, and which lines none of them runs; a third slower
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --cov --cov-report=term:skip-covered

mace: $(VENV)-mace/.stamp  ## Install MACE into an environment of its own, and test it: scouting, and training from scratch
	$(VENV)-mace/bin/python -m pytest tests/surrogates/test_mace.py tests/learning/test_models_mace.py

integration: $(VENV)-aiida/.stamp  ## Install SLURM, CP2K and Quantum ESPRESSO where they are missing, and run searches through AiiDA on a queue
	scripts/integration-packages.sh
	$(VENV)-aiida/bin/python -m pytest --durations=15 tests/integration tests/workflow/test_aiida_*.py

lint: $(VENV)/.stamp-dev  ## Style, types and the order of the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.stamp-docs  ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:  ## Remove the environment and everything that was built; demo/ stays
	rm -rf $(VENV) $(VENV)-mace $(VENV)-aiida build dist site .coverage* htmlcov .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(VENV)/.stamp-venv: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'defectscout needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ...' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet '$(TORCH)'
	@touch $@

$(VENV)/.stamp-base: $(VENV)/.stamp-venv pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[train]'
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp-venv pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,m3gnet,sevennet,train,report,sqs,vasp]'
	@touch $@ $(VENV)/.stamp-base

$(VENV)/.stamp-docs: $(VENV)/.stamp-venv pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,docs]'
	@touch $@

# mace-torch and sevenn ask for different e3nn, so that they exclude each other; constraints.txt is for the latter.
$(VENV)-mace/.stamp: pyproject.toml
	$(PYTHON) -m venv $(VENV)-mace
	$(VENV)-mace/bin/python -m pip install --quiet '$(TORCH)'
	$(VENV)-mace/bin/python -m pip install --quiet -e '.[mace,train]' 'pytest>=8' 'hypothesis>=6.100'
	@touch $@

# aiida-core asks for an older click than matgl's packages do, and constraints.txt is for these.
$(VENV)-aiida/.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-aiida
	$(VENV)-aiida/bin/python -m pip install --quiet '$(TORCH)'
	$(VENV)-aiida/bin/python -m pip install --quiet -e '.[aiida,train]' 'pytest>=8' 'hypothesis>=6.100'
	@touch $@
