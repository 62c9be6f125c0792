# Everything here makes its own environment in .venv: Python 3.11+ and make are enough.
PYTHON ?= $(firstword $(foreach name,python3.14 python3.13 python3.12 python3.11 python3,$(if $(shell $(name) -c 'print(1)' 2>/dev/null),$(name))))
ENV := .venv/env
RUN := $(ENV)/bin/python
BENCH := .venv/bench
PAGE := .venv/page

# programs that start often are not compiled each time, wherever bytecode is forbidden beside the sources
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX := $(CURDIR)/.venv/bytecode

.PHONY: help demo test test-again test-machine test-page faults soak fuzz audit sbom bench check lint types contracts serve stack-up stack-down test-rules test-stack test-container lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

$(ENV)/.synced: uv.lock pyproject.toml tools/bootstrap.py
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.14 is needed: install python3, or set PYTHON=..."; exit 1; }
	$(PYTHON) tools/bootstrap.py
	@touch $@

demo: $(ENV)/.synced ## run a real workflow cold, warm and changed, and see why it got faster (SERVE=1: then the page)
	$(RUN) -m cache demo $(FOLDER) $(if $(SERVE),--serve)

serve: $(ENV)/.synced ## serve the API on 127.0.0.1:8000 over an embedded server
	REDIS_URL=$${REDIS_URL:-embedded://} $(RUN) -m cache serve

test: $(ENV)/.synced ## run every test that needs no container and no root (TESTS=FILES for a part)
	$(RUN) -m pytest -m "not container and not machine and not browser" $(TESTS)

test-again: $(ENV)/.synced ## ask the few tests that failed last three times more: one that fails then is no stall of the machine's
	$(RUN) tools/again.py

test-machine: $(ENV)/.synced ## play every fault shortly, and Redis 7 (needs root, iptables and Debian's redis-server)
	$(RUN) -m pytest -m machine tests/faults tests/redis7

$(PAGE)/.synced: uv.lock pyproject.toml tools/bootstrap.py
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.14 is needed: install python3, or set PYTHON=..."; exit 1; }
	$(PYTHON) tools/bootstrap.py page
	@touch $@

test-page: $(PAGE)/.synced ## look at the page in a headless Chromium under load (PICTURES=FOLDER keeps screenshots)
	$(PAGE)/bin/python -m pytest -m browser tests/page

faults: $(ENV)/.synced ## play the catalogue of faults and write docs/reliability.md (root; ONLY=1,46 for some rows; SHORT=1)
	PYTHONPATH=tests:. $(RUN) -m faults $(if $(ONLY),--only $(ONLY)) $(if $(SHORT),--short)
	$(RUN) tools/measure_faults.py
	$(if $(ONLY)$(SHORT),,FLOOD=1000000 $(RUN) -m pytest -q tests/security/test_budgets.py -k floods)

soak: $(ENV)/.synced ## an hour of mixed load: memory, descriptors and p99 stay flat (MINUTES=2 for a short one)
	$(RUN) -m benchmarks.soak $(or $(MINUTES),60)

$(BENCH)/.synced: uv.lock pyproject.toml tools/bootstrap.py
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.14 is needed: install python3, or set PYTHON=..."; exit 1; }
	$(PYTHON) tools/bootstrap.py bench
	@touch $@

bench: $(BENCH)/.synced ## measure against redis-py and the peers in 15 min (QUICK=1: in 2; ONLY=hit,set for some rows)
	$(BENCH)/bin/python -m benchmarks $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(BENCH_ARGS)

check: lint types contracts ## lint, format, strict types, import directions, dead links (all of them: make -k check)

lint: $(ENV)/.synced
	$(ENV)/bin/ruff check .
	$(ENV)/bin/ruff format --check .

types: $(ENV)/.synced
	$(ENV)/bin/mypy cache telemetry benchmarks

contracts: $(ENV)/.synced
	$(RUN) -m pytest -q tests/test_architecture.py tests/test_links.py

test-rules: $(ENV)/.synced ## run promtool over Prometheus's rules and their tests (needs promtool or Docker)
	$(RUN) -m pytest tests/dashboards/test_rules_promtool.py

test-container: ## follow the README in an empty container of Debian with Python 3.11 (needs Docker; TESTS=FILES for a part)
	TESTS="$(TESTS)" sh tools/in_container.sh

stack-up: ## start app, traffic, store, Collector, Prometheus, Jaeger and Grafana (needs Docker)
	sh tools/need_engine.sh stack-up compose
	sh tools/build_images.sh
	docker compose --profile demo up --detach --wait

stack-down: ## stop the stack and delete its data
	sh tools/need_engine.sh stack-down compose
	docker compose --profile demo down --volumes --remove-orphans

STACK ?= tests/stack
test-stack: $(ENV)/.synced ## start the stack, prove it, stop it (needs Docker; STACK=FILES for a part, all take 20 min)
	sh tools/need_engine.sh test-stack compose
	$(RUN) -m pytest -o faulthandler_timeout=900 -m container $(STACK)

FUZZ_INPUTS ?= 1000000
fuzz: $(ENV)/.synced ## fuzz the decoder of entries, the encoder of keys and the parser of patterns (FUZZ_INPUTS=1000000 each)
	FUZZ_INPUTS=$(FUZZ_INPUTS) $(RUN) -m pytest -q -o faulthandler_timeout=0 tests/fuzz

audit: ## ask the database of known faults (api.osv.dev) about every locked package
	$(PYTHON) tools/bootstrap.py audit --locked --preview-features audit

SBOM ?= sbom.cdx.json
sbom: ## write the bill of materials (CycloneDX) of what the extras install
	$(PYTHON) tools/bootstrap.py export --quiet --frozen --format cyclonedx1.5 --preview-features sbom-export --all-extras --no-dev --output-file $(SBOM)

lock: ## bring uv.lock up to date
	$(PYTHON) tools/bootstrap.py lock --upgrade

clean: ## remove what make made
	rm -rf .venv .mypy_cache .ruff_cache .hypothesis .pytest_cache
