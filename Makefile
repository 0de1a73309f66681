# Every command a developer types. Only Python ≥ 3.11 and make are needed; the rest is set up in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
SECONDS ?= 20
SOAK_SECONDS ?= 300

.PHONY: help demo test check bench soak openapi fmt lock clean
help:
	@echo "make demo    install, then see readings of a simulated building arrive at an HTTPS endpoint"
	@echo "make test    install, then run the tests"
	@echo "make check   style, types, import contracts, documents"
	@echo "make bench   the measurements that docs/benchmarks.md quotes"
	@echo "make soak    the long tests; then load with random SIGKILL for SOAK_SECONDS=300, and the account of every reading"
	@echo "make openapi write openapi.json, asyncapi.json and docs/operations.md from the code"
	@echo "make fmt     format the code"
	@echo "make lock    renew requirements/*.txt from pyproject.toml"

$(VENV)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; this is $$($(PYTHON) -V). Try: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# hatchling builds the package itself and is pinned like everything else, so nothing unpinned is fetched.
$(VENV)/runtime: $(VENV)/python requirements/runtime.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev: $(VENV)/python requirements/dev.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(VENV)/runtime $@

$(VENV)/bench: $(VENV)/dev requirements/bench.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

demo: $(VENV)/runtime
	$(BIN)/matrixhub demo --seconds $(SECONDS)

test: $(VENV)/dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -q

check: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/docs

soak: $(VENV)/dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -q -m long
	SCHEMA_COVERAGE=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -q tests/acceptance/test_rest_schema.py
	$(BIN)/python -m tests.acceptance.soak --seconds $(SOAK_SECONDS)

bench: $(VENV)/bench
	$(BIN)/python -m bench

openapi: $(VENV)/dev
	$(BIN)/matrixhub openapi openapi.json
	$(BIN)/matrixhub operations docs/operations.md
	$(BIN)/matrixhub asyncapi asyncapi.json

fmt: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --group build pyproject.toml -o requirements/runtime.txt
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --group build --group dev pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --group bench -c requirements/dev.txt -o requirements/bench.txt

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
