# The only door: the same targets by hand and in CI. README.md says what a newcomer does with them.
SHELL := /bin/bash
MUSL := x86_64-unknown-linux-musl
SMALL := runc-rs containerd-shim-runcrs-v2

.PHONY: setup build debug lint unit integration test demo

# Installs what is missing of Debian's packages and the musl target; starts nothing.
setup:
	@integration-tests/setup

# Release binaries of every layer in target/release; the runtime and the shim are static.
build: setup
	cargo build --release -p containerd-rs -p engine -p engine-cli
	cargo build --profile small --target $(MUSL) -p runc-rs -p shim-rs
	for b in $(SMALL); do cp target/$(MUSL)/small/$$b target/release/; done

# The same binaries unoptimised in target/debug, for the tests.
debug: setup
	cargo build -p containerd-rs -p engine -p engine-cli
	cargo build --target $(MUSL) -p runc-rs -p shim-rs
	for b in $(SMALL); do cp target/$(MUSL)/debug/$$b target/debug/; done

lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

test: lint debug
	integration-tests/run-tests

demo: build
	integration-tests/demo/demo.sh

