.DEFAULT_GOAL := help
.PHONY: help setup image sdks run test test-runsc check audit lock bench
BIN := .venv/bin
ARGS ?=

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing on this machine and start the Docker daemon
	@scripts/setup

image: setup ## Build the sandbox image unless it is there
	@$(BIN)/sandlot image build

sdks: setup ## Install the SDKs that only tests use
	@scripts/setup-sdks

run: image ## Run the agent `tour` on a data set that ships with Sandlot
	@$(BIN)/sandlot run tour --show $(ARGS)

test: image sdks ## Run all tests (ARGS="-k name" to choose)
	@scripts/test $(ARGS)

test-runsc: image sdks ## Run the security tests on gVisor, with a Docker daemon of their own
	@scripts/test-runsc $(ARGS)

check: setup ## Check style, types and layers
	@scripts/check

audit: setup ## Ask for known holes in packages; needs the network
	@scripts/audit

lock: setup ## Choose the newest allowed versions and lock them
	@scripts/lock

bench: image ## Measure, each figure beside its floor
	@$(BIN)/python -m bench $(ARGS)
