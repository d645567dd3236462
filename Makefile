# The two commands: `make reproduce` and `make test`. Both set up what is missing first.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
CORES ?= all
BESIDE := --numprocesses 2 --dist loadfile --no-loadscope-reorder  # tests of two files go side by side
export PATH := $(CURDIR)/$(BIN):$(PATH)

unexport PYTHONDONTWRITEBYTECODE  # stages start sooner from compiled modules

.PHONY: reproduce test test-all check setup report pull wheelhouse format lock help

reproduce: setup  ## Set up, then run the whole pipeline on params.yaml.
	snakemake --cores $(CORES)

test: setup  ## Set up, then run the tests.
	pytest $(BESIDE)

test-all: setup  ## The tests, and those that are marked slow.
	pytest $(BESIDE) -m ""

check: setup  ## Linters, formats, import contracts, types and spelling.
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint
	lint-imports --no-logo --no-cache
	mypy
	codespell

setup: $(VENV)/installed  ## What is missing: system packages for FFCV, .venv from requirements.lock, the package.

$(VENV)/installed: requirements.lock pyproject.toml setup/install.sh $(wildcard src/ilsvrc/packing/kernels/*)
	@bash setup/install.sh "$(PYTHON)" "$(VENV)"
	@touch $@

report: setup  ## Scores and report of the runs that are complete, whatever the others do.
	ilsvrc report

pull: setup  ## In a clone: data, models and results from the DVC remote, checked, so that nothing is done again.
	dvc pull
	ilsvrc verify
	snakemake --cores 1 --touch --forceall

wheelhouse: setup  ## Every package of requirements.lock as a file, for `make setup` on a machine without a network.
	pip download --no-deps --no-build-isolation --require-hashes --requirement requirements.lock --dest wheelhouse

format: setup  ## Format the code.
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

lock: setup  ## Remake requirements.lock from pyproject.toml (needs pip-tools).
	bash setup/lock.sh

help:  ## This list.
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 12
