# Everything sets itself up: python3 and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready


.PHONY: tools help setup run docs build sam deploy destroy erase test test-release test-reference check format bench lock clean demo-data

help:            ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

setup: $(READY)  ## the environment in .venv; .venv/bin/roost is the command

$(READY): requirements.lock pyproject.toml
	$(PYTHON) scripts/check_python.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: setup       ## chat on this machine
	$(BIN)/roost serve

test: setup tools ## everything that CI runs: types, lint, tests against real engines and clients
	$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not release and not reference"

test-release: setup tools ## the long runs: 10,000 kills, power cuts and schedules
	$(BIN)/python -m pytest -n 2 --dist worksteal -m release

test-reference: setup ## against Amazon's DynamoDB Local, under Amazon's licence: fetched here, never shipped
	$(BIN)/python scripts/tools.py node ministack dynamodb-local
	$(BIN)/python -m pytest -n 2 --dist worksteal -m reference

check: setup     ## lint, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: setup    ## format, and fix what can be fixed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: setup      ## write docs/web-api.md from the table of methods
	$(BIN)/python -m scripts.web_api

build: setup     ## the folder that is uploaded to Lambda, in build/lambda
	$(BIN)/python scripts/build_lambda.py

STAGE ?= prod
DEPLOY = .tools/sam/bin/python -m scripts.deploy
WHERE = $(if $(REGION),--region $(REGION)) $(if $(YES),--yes)
KEPT = $(if $(TABLE),--table $(TABLE)) $(if $(BUCKET),--bucket $(BUCKET))

sam: setup
	@$(BIN)/python scripts/tools.py sam

deploy: sam      ## Roost into your AWS account: STAGE=prod REGION=eu-west-1 SET="Guests=on AlarmEmail=you@example.com" YES=1
	@$(DEPLOY) up --stage $(STAGE) $(WHERE) $(KEPT) --set $(SET)

destroy: sam     ## take it out of your AWS account: STAGE=prod; what was said stays
	@$(DEPLOY) down --stage $(STAGE) $(WHERE)

erase: sam       ## delete for good what `make destroy` left: TABLE=name BUCKET=name
	@$(DEPLOY) erase $(WHERE) $(KEPT)

bench: setup     ## measure against the budgets: ratios, all sides in one run
	@$(BIN)/python scripts/tools.py node ministack
	$(BIN)/python -m bench

demo-data: setup ## a made-up workspace to look at: DATA=folder, MESSAGES=20000
	$(BIN)/python -m scripts.demo_data --data $(or $(DATA),demo) --messages $(or $(MESSAGES),20000)

tools: setup     # what tests talk to: Node packages, an AWS emulator, what deploys and what checks templates
	@$(BIN)/python scripts/tools.py node ministack sam checkov runtime osls

clean:           ## remove what setup, tests and bench made
	rm -rf $(VENV) .tools build dist .mypy_cache .ruff_cache .pytest_cache tests/node/node_modules \
		tests/osls/node_modules bench/results

LOCKED := --universal --generate-hashes --no-annotate --no-header --quiet
lock:            ## write the lock files anew from what they are made of
	$(BIN)/uv pip compile pyproject.toml --extra isolated --group dev --python-version 3.11 $(LOCKED) -o requirements.lock
	$(BIN)/uv pip compile requirements-ministack.in --python-version 3.11 $(LOCKED) -o requirements-ministack.lock
	$(BIN)/uv pip compile requirements-sam.in --python-version 3.11 $(LOCKED) -o requirements-sam.lock
	$(BIN)/uv pip compile requirements-checkov.in --python-version 3.11 $(LOCKED) -o requirements-checkov.lock
	$(BIN)/uv pip compile requirements-runtime.in --python-version 3.11 $(LOCKED) -o requirements-runtime.lock
	$(BIN)/uv pip compile requirements-java.in --python-version 3.11 $(LOCKED) -o requirements-java.lock
	$(BIN)/uv pip compile requirements-lambda.in --python-version 3.13 $(LOCKED) -o requirements-lambda.lock
	$(BIN)/uv pip compile requirements-oidc.in --python-version 3.13 $(LOCKED) -o requirements-oidc.lock
