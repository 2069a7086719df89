# Each target has a `##` comment: `make help` prints them.
PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/python -m
# One stamp for each Python, so that another PYTHON makes another .venv.
READY := .venv/.ready-$(notdir $(PYTHON))
COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help:  ## Show this list
	@echo "make TARGET [ARGS=...] [PYTHON=python3.12]"
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

# Done once, and again when the lock or the project's own metadata change.
$(READY): requirements/dev.txt requirements/install.py pyproject.toml
	@$(PYTHON) requirements/install.py .venv requirements/dev.txt
	@touch $@

.PHONY: setup
setup: $(READY)  ## Make .venv from the hash-locked requirements/dev.txt (Python 3.11, 3.12 or 3.13)

.PHONY: demo
demo: $(READY)  ## Run the whole loop on real data in a live view; ARGS="--seconds 60 --json summary.json"
	@$(BIN)/faust-onnx demo $(ARGS)

.PHONY: dev
dev: $(READY)  ## Run a real Kafka on 127.0.0.1:9092 until Ctrl-C; topics are kept; ARGS="--pipeline churn"
	@$(BIN)/faust-onnx up $(ARGS)

.PHONY: lint
lint: $(READY)  ## Check style, format, types, layers and test docstrings
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(BIN)/lint-imports
	$(RUN) interrogate --quiet tests

.PHONY: format
format: $(READY)  ## Put the code into its format and mend what can be mended
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

.PHONY: type
type: $(READY)  ## Check the types alone (mypy, strict)
	$(RUN) mypy

.PHONY: test
test: $(READY)  ## Run all tests, those on a real Kafka included; ARGS="-k swap"
	$(RUN) pytest -q $(ARGS)

.PHONY: test-unit
test-unit: $(READY)  ## Run the tests that need no Kafka
	$(RUN) pytest -q -m "not broker and not fault" $(ARGS)

.PHONY: test-broker
test-broker: $(READY)  ## Run the tests on a real Kafka
	$(RUN) pytest -q tests/broker $(ARGS)

.PHONY: test-faults
test-faults: $(READY)  ## Inject every fault on a real Kafka, and verify; SEEDS=10 CASES=zombie MODES=exactly_once JOBS=3
	$(RUN) tests.faults.suite $(if $(SEEDS),--seeds $(SEEDS)) $(if $(CASES),--cases $(CASES)) $(if $(MODES),--modes $(MODES)) \
		$(if $(JOBS),--jobs $(JOBS)) $(ARGS)

.PHONY: test-full
test-full: $(READY)  ## Run all tests, the long ones at their full length
	TEST_FULL=1 $(RUN) pytest -q $(ARGS)

.PHONY: bench
bench: $(READY)  ## Measure events/s beside Kafka Streams, Quix Streams, Bytewax and others; QUICK=1 for a short look
	$(RUN) benchmarks.throughput $(if $(QUICK),--quick) $(ARGS)

.PHONY: bench-latency
bench-latency: $(READY)  ## Measure end-to-end latency at four rates, open loop; QUICK=1
	$(RUN) benchmarks.latency $(if $(QUICK),--quick) $(ARGS)

.PHONY: bench-scale
bench-scale: $(READY)  ## Measure cost per event with more workers, features, trees, bytes and partitions; QUICK=1
	$(RUN) benchmarks.scale $(if $(QUICK),--quick) $(ARGS)

.PHONY: bench-memory
bench-memory: $(READY)  ## Measure memory over five million events and the time from restart to ready; QUICK=1
	$(RUN) benchmarks.memory $(if $(QUICK),--quick) $(ARGS)

.PHONY: bench-recovery
bench-recovery: $(READY)  ## Measure table recovery, and a worker's return with and without its local state; QUICK=1
	$(RUN) benchmarks.recovery $(if $(QUICK),--quick) $(ARGS)

.PHONY: bench-bounds
bench-bounds: $(READY)  ## Measure memory and disk under three times the load, and while Kafka is away; QUICK=1
	$(RUN) benchmarks.bounds $(if $(QUICK),--quick) $(ARGS)

.PHONY: bench-feedback
bench-feedback: $(READY)  ## Measure how many labels are joined and counted while events are scored; QUICK=1
	$(RUN) benchmarks.feedback $(if $(QUICK),--quick) $(ARGS)

.PHONY: bench-stages
bench-stages: $(READY)  ## Show the processor time per event of each stage, without Kafka; ARGS="--workload e"
	$(RUN) benchmarks.stages $(ARGS)

.PHONY: bench-guard
bench-guard: $(READY)  ## See that the worker is not far slower than a bare loop, in half a minute
	@$(RUN) benchmarks.guard

.PHONY: plots
plots: $(READY)  ## Draw docs/plots/*.svg from the recorded results; the same results give the same bytes
	$(RUN) benchmarks.plots $(ARGS)

.PHONY: lock
lock: $(READY)  ## Compile requirements/*.in into hash-locked files; ARGS=--upgrade for newer versions
	$(COMPILE) $(ARGS) requirements/worker.in -o requirements/worker.txt
	$(COMPILE) $(ARGS) requirements/dev.in -o requirements/dev.txt
	@# the peers score with the product's versions; its other packages would exclude Quix Streams
	sed -nE 's/ *\\$$//; /^(msgspec|numpy|onnxruntime|protobuf)==/p' requirements/worker.txt \
		| $(COMPILE) $(ARGS) -c - benchmarks/peers/requirements.in -o benchmarks/peers/requirements.txt

.PHONY: clean
clean:  ## Remove .venv, .venv-peers and every cache of the project folder
	rm -rf .venv .venv-peers .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
