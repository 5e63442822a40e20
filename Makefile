# The only door: the same targets by hand and in CI. README.md says what a newcomer does with them.
SHELL := /bin/bash
MUSL := x86_64-unknown-linux-musl
SMALL := runc-rs containerd-shim-runcrs-v2

.PHONY: setup build debug newer lint test demo bench

# Installs what is missing of Debian's packages and the musl target; starts nothing.
setup:
	@integration-tests/setup

# Release binaries of every layer in target/release; the runtime and the shim are static.
build: setup
	GIT_COMMIT=$$(git rev-parse --short HEAD 2>/dev/null || echo unknown) cargo build --release -p containerd-rs -p engine -p engine-cli
	cargo build --profile small --target $(MUSL) -p runc-rs -p shim-rs
	for b in $(SMALL); do cp target/$(MUSL)/small/$$b target/release/; done

# The same binaries unoptimised in target/stack, for the tests. Not in target/debug: there, building the tests
# puts runtimes and shims that aren't static.
debug: setup
	cargo build -p containerd-rs -p engine -p engine-cli
	cargo build --target $(MUSL) -p runc-rs -p shim-rs
	mkdir -p target/stack
	cp --remove-destination target/debug/{containerd-rs,engined,engine} $(SMALL:%=target/$(MUSL)/debug/%) target/stack/

# Daemons of another build, for the tests that upgrade them under live containers.
newer: setup
	GIT_COMMIT=newer cargo build -p containerd-rs -p engine
	mkdir -p target/stack/newer
	cp --remove-destination target/debug/{containerd-rs,engined} target/stack/newer/

lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

# newer first: both are built into the same folder.
test: lint newer
	$(MAKE) debug
	integration-tests/run-tests

demo: build
	integration-tests/demo/demo.sh

# This stack beside Debian's runc, crun, containerd, docker and podman, about a quarter of an hour.
# ONLY=runtime,engine,shim,pull measures parts, SAMPLES=5 is a quick look; raw samples: target/bench/*.json.
bench: build
	cargo build --profile small --target $(MUSL) -p stopwatch
	cp target/$(MUSL)/small/stopwatch target/release/
	cargo build --release -p integration-tests --bin bench
	STACK_BIN_DIR=target/release target/release/bench
