# Five short verbs: setup, up, test, check, bench. The others are for long runs.
PYTHON = $(shell python3 choose_python.py)
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

WORKERS ?= 2

.PHONY: setup up test check bench cluster-bench sim soak faults scale fuzz suites cluster-proof web clean

PAGES := web/build.mjs web/package-lock.json src/pileus/runtime/node/package-lock.json \
  $(shell find apps/*/web/src web/console/src -type f 2>/dev/null)

setup: .venv/.pages ## environment, dependencies, web build

.venv/.done: requirements.lock requirements-test.lock pyproject.toml
	@echo "environment: $(PYTHON)"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

.venv/.pages: .venv/.done $(PAGES)
	$(BIN)/python -m pileus.prepare
	touch $@

.venv/.test: .venv/.pages
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-test.lock
	touch $@

up: setup ## a running cloud with apps/links, until Ctrl-C
	$(BIN)/pileus up $(UP)

test: .venv/.test ## all tests, two at a time: TESTS=tests/wire WORKERS=0
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

check: .venv/.test ## format, lint, types, import contracts, tidiness
	$(BIN)/ruff format --check src tests apps bench docs lab
	$(BIN)/ruff check src tests apps bench docs lab
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.tidy

bench: .venv/.test ## Pileus beside its peers, in one run
	$(BIN)/python -m bench.run $(BENCH)

cluster-bench: .venv/.test ## three nodes on this machine: latency, rate, whose CPU: BENCH="--rounds 5"
	$(BIN)/python -m bench.cluster $(BENCH)

sim: .venv/.test ## simulation: SEED=7 or SEED=0:1000
	$(BIN)/python -m tests.simulation.run --seeds $(or $(SEED),0:1000)
	$(BIN)/python -m tests.simulation.services --seeds $(or $(SEED),0:300)
	$(BIN)/python -m tests.simulation.services --seeds $(or $(SEED),0:100) --engine embedded
	$(BIN)/python -m tests.simulation.services --seeds $(or $(SEED),0:100) --engine embedded --wal-pages 30
	$(BIN)/python -m tests.simulation.services --seeds $(or $(SEED),0:100) --engine sharded
	$(BIN)/python -m tests.simulation.histories --seeds $(or $(SEED),0:200)
	$(BIN)/python -m tests.simulation.shards --seeds $(or $(SEED),0:200)

soak: .venv/.test ## long fault runs, resumable, seeds kept in var/soak
	$(BIN)/python -m tests.soak.histories $(HISTORIES)
	$(BIN)/python -m tests.soak.run $(SOAK)
	$(BIN)/python -m lab.matrix --rounds $(or $(ROUNDS),50) --out var/soak/faults -- $(CURDIR)/$(BIN)/pileus
	PYTHONPATH=src:. $(BIN)/python -m tests.acceptance.losing_log $(LOSING)

faults: .venv/.test ## every fault of the lab on three nodes, five rounds each: ROUNDS=20 FAULT=power-cut
	PILEUS_FAULT_ROUNDS=$(or $(ROUNDS),5) $(BIN)/python -m pytest -rA tests/acceptance/test_faults.py -k "$(or $(FAULT),nothing or afterwards)"

scale: .venv/.test ## a million items and a million objects beside an empty cloud, resumable, var/scale
	$(BIN)/python -m tests.soak.scale $(SCALE)

fuzz: .venv/.test ## changed requests at every parser: FUZZ=seconds; findings in var/fuzz
	$(BIN)/python -m tests.fuzz.run --seconds $(or $(FUZZ),60)

suites: .venv/.test ## outside suites from SUITES=DIR (ONLY=one, NODES=3); counts to docs/suites.json
	$(BIN)/python -m tests.suites.run --record --dir $(SUITES) $(if $(ONLY),--only "$(ONLY)") $(if $(NODES),--nodes $(NODES))

cluster-proof: .venv/.test ## three nodes: the workshop with its calls in turn, an upgrade node by node, front ends lost, each shard kept, an upload of 2 GiB that outlives its node
	CLUSTER_PROOF=1 $(BIN)/python -m pytest --timeout=900 -s tests/acceptance/test_workshop_three_nodes.py \
	  tests/acceptance/test_serving_nodes.py tests/acceptance/test_lost_fronts.py \
	  tests/acceptance/test_two_releases.py \
	  tests/acceptance/test_three_shards_kept.py
	$(BIN)/python -m tests.acceptance.upload --mib 2048

clean:
	rm -rf .venv build web/dist apps/*/web/dist
