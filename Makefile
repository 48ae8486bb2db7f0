# Every target installs what it lacks (Debian, Ubuntu; Rust must be there). `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test bench check golden fuzz manifests

FUZZ_SECONDS ?= 600

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## cause a small real OOM kill here and explain it (root; otherwise a recorded one)
	@scripts/need cc clang ebpf
	@cargo build --release --locked --bin oomscope
	@./target/release/oomscope demo

test: ## every test, and each fuzz target for 15 s (FUZZ_SECONDS)
	@scripts/test

check: ## format, lints, documentation, licences, the state of the tree
	@scripts/check

golden: ## rewrite the expected outputs; read the difference before committing it
	@scripts/need cc clang ebpf
	@UPDATE_GOLDEN=1 cargo test --workspace --locked
	@git status --short -- '*golden*' docs crates/testkit

manifests: ## write deploy/manifests anew from the Helm chart
	@scripts/deploy-check --write

fuzz: ## each fuzz target for FUZZ_SECONDS (600)
	@scripts/fuzz "$(FUZZ_SECONDS)"

bench: ## speed, delay, cost and exactness beside other programs (docs/benchmarks.md); writes target/bench/results.json
	@scripts/bench
