# Everything runs from a virtual environment in the repository; nothing is installed elsewhere,
# except Chromium and systemd-analyze for `make test`, which says so.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PACKAGES := contract edge firmware-bridge iso15118 cloud simulators

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format bench soak lock deb deb-test clean

help: ## what this Makefile can do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: $(READY) ## the virtual environment with the locked dependencies

$(READY): requirements/dev.txt pyproject.toml
	@echo "setting up $(VENV) with $$($(PYTHON) --version) and the locked dependencies (some minutes the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Baywatt needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## a site, its cloud and a driver, from swipe to receipt (KEEP=1 leaves it running)
	@$(BIN)/baywatt-sim demo $(if $(KEEP),--keep,)

test: setup ## the whole suite; as root it installs what is missing with apt: Chromium, systemd
	@sh tests/install_tools.sh
	@$(BIN)/pytest -q -n 2 --dist loadgroup $(ARGS)

soak: setup ## the long runs that the everyday suite leaves out
	@$(BIN)/pytest -q --soak -m soak --timeout 7200 $(ARGS)

lint: setup ## ruff, format, mypy strict, import layers, spelling
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONPATH=$(subst $(eval) ,:,$(PACKAGES)) $(BIN)/lint-imports --no-cache
	@$(BIN)/codespell $(PACKAGES) tests docs packaging systemd README.md CHANGELOG.md CONTRIBUTING.md

format: setup ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup ## our figures beside a peer's or a physical limit's, in the same run
	@$(BIN)/python tests/bench/run_all.py

deb: setup ## the edge as a Debian package with its own virtual environment, in dist/
	@$(BIN)/python packaging/build_deb.py --out dist

deb-test: deb ## install, use, upgrade and purge the package in a clean Debian folder (root)
	@sh packaging/test_deb.sh dist/baywatt_*.deb

lock: setup ## resolve the dependencies anew into requirements/
	@$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header --extra dev pyproject.toml -o requirements/dev.txt
	@for part in edge cloud; do $(BIN)/uv pip compile -q --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header --extra $$part \
	  -c requirements/dev.txt pyproject.toml -o requirements/$$part.txt; done

clean: ## remove the environment and everything a run left behind
	@rm -rf $(VENV) run build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
