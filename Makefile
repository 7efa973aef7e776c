# Everything installs into .venv. What the tests need of the system's own programs is in
# tests/programs.sh, which installs what is missing; nothing else on the machine is touched.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo cluster-demo test unit integration bench lint fix docs conformance clean programs

demo: $(STAMP)  ## Install, start and drive the product with a real MCP client
	@$(BIN)/python demo/demo.py
	@$(BIN)/python demo/sessions.py

cluster-demo: $(STAMP)  ## A cluster of one machine: nats-server, a gateway, three workers, and crashes
	@$(BIN)/python demo/cluster.py

test: programs lint $(STAMP)  ## Lint, then every test, on all processors
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

unit: $(STAMP)
	$(BIN)/python -m pytest tests/unit

integration: programs $(STAMP)
	$(BIN)/python -m pytest tests/integration

bench: $(STAMP)  ## Measure every budget and rewrite the table in docs/performance.md
	$(BIN)/python -m tests.performance

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)  ## Rewrite the pages that are made from the code
	$(BIN)/python docs/generate.py

conformance: $(STAMP)  ## The public MCP conformance suite and the inspector (needs npm)
	tests/conformance/run.sh

programs:
	@tests/programs.sh

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(STAMP)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .tools
