.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
N ?= 3
BIN := .venv/bin
LOWEST := VIRTUAL_ENV=$(CURDIR)/.venv-lowest .venv-lowest/bin/uv pip install --quiet --resolution lowest-direct
BUF := npx --yes @bufbuild/buf@1.75.0
PROTOS := $(wildcard protos/ingot/v1/*.proto)
BENCH := $(if $(RECORDS),--records $(RECORDS)) $(if $(REPEAT),--repeat $(REPEAT)) $(if $(CASES),--cases "$(CASES)") \
	$(if $(OUTPUT),--output $(OUTPUT))

export INGOT_DATA_DIR ?= $(shell bash examples/data-folder)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: .venv/.server ## install, start a server on embedded PostgreSQL, import examples/contacts.csv and look at it
	@bash examples/demo

.PHONY: run
run: .venv/.server ## start the server alone, on embedded PostgreSQL, until Ctrl-C
	@exec $(BIN)/ingot-server serve

.PHONY: test
test: .venv/.dev ## run the whole test suite, in N processes
	$(BIN)/pytest -n $(N) --dist worksteal $(PYTEST)

.PHONY: fuzz
fuzz: .venv/.dev ## try hostile inputs, others each time: MINUTES=5, TARGET=csv, SEED=1; GUIDED=1 with atheris
	@$(BIN)/python -m tests.fuzz $(if $(MINUTES),--minutes $(MINUTES)) $(if $(TARGET),--target $(TARGET)) \
		$(if $(SEED),--seed $(SEED)) $(if $(GUIDED),--guided)

.PHONY: check
check: .venv/.dev check-stubs ## lint, types, import contracts, stubs are current, protos
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/python docs/make_kinds.py | diff - docs/kinds.md >/dev/null || { \
		echo "docs/kinds.md is not that of the kinds: run \`make docs\` and commit the result." >&2; exit 1; }
	@if command -v npx >/dev/null; then \
		cd protos && $(BUF) lint && $(BUF) format --diff --exit-code; \
	elif [ -n "$${CI:-}" ]; then \
		echo "make check: npx is missing, and CI must not skip the check of the protos" >&2; exit 1; \
	else \
		echo "make check: skipped the check of the protos: it needs npx, from Node.js"; \
	fi

.PHONY: format
format: .venv/.dev ## format the code and the protos
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	@if command -v npx >/dev/null; then cd protos && $(BUF) format --write; fi

.PHONY: stubs
stubs: .venv-stubs/.installed ## generate the Python stubs, and what reflection tells, from the protos
	PATH="$(CURDIR)/.venv-stubs/bin:$$PATH" python -m grpc_tools.protoc -Iprotos \
		--python_out=protos --grpc_python_out=protos --mypy_out=quiet:protos --mypy_grpc_out=quiet,only_async:protos \
		--descriptor_set_out=protos/ingot/v1/documented.binpb --include_source_info $(PROTOS)

.PHONY: check-stubs
check-stubs: stubs
	@git diff --exit-code --stat -- protos || { \
		echo "The stubs are not those of the protos: run \`make stubs\` and commit the result." >&2; exit 1; }

.PHONY: docs
docs: .venv/.server ## make the manual of the kinds from the kinds
	$(BIN)/python docs/make_kinds.py >docs/kinds.md

.PHONY: bench
bench: .venv/.server ## measure Ingot beside hand-written SQL: RECORDS=, REPEAT=, CASES="sql ingot"
	$(BIN)/python -m bench $(if $(RECORDS)$(REPEAT)$(CASES),,--publish results) $(BENCH)

.PHONY: bench-peers
bench-peers: .venv/.server ## measure it beside dlt, target-postgres and pgloader
	$(BIN)/python -m bench --cases "sql ingot dlt dlt_arrow target_postgres pgloader" --output bench/peers.json \
		$(if $(RECORDS)$(REPEAT)$(CASES),,--publish peers) $(BENCH)

.PHONY: bench-long
bench-long: .venv/.server ## measure 10 million records: is the cost linear, and the memory flat?
	$(BIN)/python -m bench --cases long --records 10000000 --repeat 1 --output bench/long.json \
		$(if $(RECORDS)$(REPEAT)$(CASES),,--publish long) $(BENCH)

.PHONY: faults
faults: .venv/.dev ## import at random while processes and connections are broken, and compare with a model: ROUNDS=, SEED=
	$(BIN)/python -m tests.faults.storm $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED)) \
		$(if $(OUTPUT),--output $(OUTPUT))

.PHONY: soak
soak: .venv/.dev ## an hour of mixed load with restarts, after which nothing may have grown: MINUTES=
	$(BIN)/python -m tests.faults.soak $(if $(MINUTES),--minutes $(MINUTES))

.PHONY: test-lowest
test-lowest: .venv-lowest/.installed ## run the tests with the oldest versions of all dependencies that pyproject.toml allows
	$(LOWEST) --editable '.[dev]'
	.venv-lowest/bin/pytest -n $(N) --dist worksteal $(PYTEST)

.PHONY: test-lowest-client
test-lowest-client: .venv-lowest/.installed ## run the client's tests with the oldest gRPC that a client may have, older than a server's
	$(LOWEST) --editable '.[dev]'
	$(LOWEST) grpcio==1.80.0 grpcio-status==1.80.0 grpcio-health-checking==1.80.0 grpcio-reflection==1.80.0
	.venv-lowest/bin/pytest -n $(N) --dist worksteal $(or $(PYTEST),tests/client)

.PHONY: audit
audit: .venv/.dev .venv-audit/.installed ## look for known vulnerabilities in what is installed
	@mkdir -p build
	$(BIN)/pip freeze --exclude-editable >build/installed.txt
	.venv-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement build/installed.txt

.PHONY: clean
clean: ## remove the environments and the demo's data
	rm -rf .venv .venv-stubs .venv-lowest .venv-audit .ingot build dist

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Ingot needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv .venv

.venv/.server: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable '.[server]'
	@touch $@

.venv/.dev: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@ .venv/.server

.venv-lowest/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/pip install --quiet uv
	@touch $@

.venv-audit/.installed:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install --quiet pip-audit
	@touch $@

.venv-stubs/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-stubs
	.venv-stubs/bin/pip install --quiet --editable '.[stubs]'
	@touch $@
