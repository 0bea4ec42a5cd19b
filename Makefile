# farpane: everything by name. `make help` lists it.
# Debian packages are listed once, in packaging/debian-packages.txt; each target installs what it lacks.

PROFILE ?= ci
CARGO   ?= cargo
TOOLS   := $(CURDIR)/target/tools

.PHONY: help run build deps test fuzz viewers peers compare lint fmt doc audit aarch64 budgets bench

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## build for speed and show the moving demo desktop
	./target/release/farpane demo

build: ## the release binary, target/release/farpane
	@packaging/install-packages build
	$(CARGO) build --release -p farpane-server

deps: ## install what building and testing need
	@packaging/install-packages build test
	@packaging/install-viewers
	@packaging/install-guest

test: deps ## install what the tests need and run all of them
	tests/run.py --profile $(PROFILE)

viewers: deps ## only the foreign viewers (ONLY="words of a case's name")
	$(CARGO) build --profile $(PROFILE) -p farpane-server
	tests/viewers/run.py --farpane target/$(PROFILE)/farpane --only "$(ONLY)"

peers: ## install the VNC servers that `make compare` measures beside farpane
	@packaging/install-packages build peers

compare: build peers ## farpane and its peers side by side (ARGS="--workload typing"); see perf-tests/METHODOLOGY.md
	$(CARGO) run --release -p farpane-perf-tests -- compare $(ARGS)

SECONDS ?= 300
fuzz: deps ## every fuzz target on random inputs (SECONDS=n in all; the ordinary tests take two seconds each)
	FARPANE_FUZZ_SECONDS=$(SECONDS) $(CARGO) test --profile ci -p farpane-server --test fuzz no_bytes -- --nocapture

lint: ## format check, and clippy with every warning an error
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --profile $(PROFILE) -- -D warnings

fmt: ## format the sources
	$(CARGO) fmt --all

doc: ## the documentation of all crates, in target/doc
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --profile $(PROFILE)

audit: ## licences, banned crates and sources of everything we build on
	@packaging/install-cargo-deny $(TOOLS)
	$(CARGO) fetch --quiet --locked
	$(TOOLS)/bin/cargo-deny --offline --log-level error check licenses bans sources

aarch64: ## 64-bit ARM: type-check the server, run the kernel tests under qemu
	@packaging/install-packages build aarch64
	packaging/check-aarch64

budgets: ## store what encoders and workloads cost today as what they may cost
	@packaging/install-packages build test
	FARPANE_WRITE_BUDGETS=1 $(CARGO) test --profile ci -p farpane-benches --test budgets -- --test-threads=1

bench: ## the benchmarks
	@packaging/install-packages build
	$(CARGO) bench -p farpane-benches
