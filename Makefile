# The chores. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.PHONY: help setup demo build trained bench bench-core fmt lint deny doc unit nextest statements torture test clean

# Arguments for `make demo` and `make bench`, such as ARGS="--people 500 --listen 127.0.0.1:9000".
ARGS ?=
# Whether `make bench` also installs and measures OpenLDAP.
PEERS ?=

phase = @printf '\n== %s (%s)\n' "$(1)" "$$(date +%H:%M:%S)"

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  make \1\t/' | expand -t 18

setup:  ## install what the chores below need and this machine lacks
	$(call phase,setup)
	@tools/setup test

demo:  ## build, fill a register with a sample municipality, pull it out again and serve
	@tools/setup build
	cargo run --locked --release --quiet -- demo $(ARGS)

build:  ## build the program for release
	@tools/setup build
	cargo build --locked --release

trained:  ## the same, made faster by what it does at work: target/trained/matrikel; half an hour
	@tools/setup test
	@tools/train

bench:  ## how fast it is, beside raw baselines; PEERS=1 beside OpenLDAP too; ARGS="--people 10k,100k"; see docs/PERFORMANCE.md
	@tools/setup build
	$(if $(PEERS),@tools/slapd install)
	cargo run --locked --release --quiet -- bench $(if $(PEERS),--slapd tools/slapd) $(ARGS)

bench-core:  ## what the core costs by itself: filters, PATCH, projection, keys
	@tools/setup build
	cargo bench --locked --bench core

fmt:  ## format all code
	cargo fmt --all

lint:  ## formatting and clippy, without a warning
	$(call phase,formatting)
	cargo fmt --all --check
	$(call phase,clippy)
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	cargo clippy --locked -- -D warnings

deny:  ## licences, banned crates and sources of the dependencies
	$(call phase,dependencies)
	cargo deny --locked --log-level warn check licenses bans sources

doc:  ## the documentation of the code, without a warning
	$(call phase,documentation)
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --all-features --no-deps

unit:  ## the quick tests: no database, no server
	cargo nextest run --locked --workspace --lib --bins

nextest:  ## every test, on SQLite and PostgreSQL
	$(call phase,building the tests)
	cargo nextest run --locked --workspace --all-features --no-run
	$(call phase,tests)
	cargo nextest run --locked --workspace --all-features

statements:  ## every test on PostgreSQL with its tables laid out by tenant; fails where a statement is not a tenant's
	@tools/setup test
	@# Without what is about the plans and the backup of tables that are not laid out.
	MATRIKEL_TEST_STATEMENTS=1 cargo nextest run --locked --no-fail-fast $(ARGS) \
	  -E 'test(postgres) - test(store_tests::access) - test(postgres_is_backed_up) - test(torture) - test(slow::)'

test: setup lint deny doc nextest  ## all of it: what must pass before a change lands

torture:  ## kill -9 under load, 200 times on each database; ARGS="--rounds 1000" or ARGS="--minutes 60"
	@tools/setup test
	@tools/torture $(ARGS)

clean:  ## remove what was built
	cargo clean
