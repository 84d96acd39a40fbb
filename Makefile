SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

servers := localstack/with-servers.sh
target := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
datafusion_target := $(target)/datafusion
slatedb_target := $(target)/slatedb
libraries := sealwax-aws-lc sealwax-envelope sealwax-files sealwax-s3 sealwax-jobs sealwax-object-store
published := $(libraries) sealwax-gateway sealwax-cli
rustcrypto := -p sealwax-envelope --no-default-features --features rustcrypto

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: check
check: fmt-check markers layering prose locks clippy doc ## run all checks of CI except tests and `make deny`

.PHONY: test
test: ## run all tests, against LocalStack and SeaweedFS, which it starts
	@echo '==> tests of the envelope with the pure Rust ciphers'
	cargo test --locked $(rustcrypto)
	@echo '==> the test vectors, read by the independent reader'
	@tests/reader/run.sh
	@echo '==> build the tests of the workspace'
	cargo test --locked --workspace --no-run
	@echo '==> tests of the workspace, with servers'
	$(servers) cargo test --locked --workspace
	@echo '==> S3 clients through the gateway, beside the same requests without it'
	@$(servers) tests/gateway/run.sh "$(target)/debug/sealwax"

.PHONY: interop
interop: ## exchange objects with the S3 Encryption Clients for Go and Java (needs go, java and mvn)
	@tests/interop/run.sh

.PHONY: gateway-conformance
gateway-conformance: ## run boto3's requests directly and through the gateway, on LocalStack and SeaweedFS, and compare
	@echo '==> build the command'
	cargo build --locked --workspace --bin sealwax
	@$(servers) tests/gateway/run.sh "$(target)/debug/sealwax"

.PHONY: gateway-soak
gateway-soak: ## 500 clients for two minutes, idle connections and kill -9 against the gateway; RELEASE=1: a release build
	@echo '==> build the command and its clients'
	cargo build --locked --workspace --bin sealwax --bin gateway_soak $(if $(RELEASE),--release)
	@echo '==> the gateway under load'
	@$(servers) "$(target)/$(if $(RELEASE),release,debug)/gateway_soak" "$(target)/$(if $(RELEASE),release,debug)/sealwax"

.PHONY: gateway-clients
gateway-clients: ## run S3 clients through the gateway, into docs/GATEWAY-CLIENTS.md; CLIENTS="go rclone": only print (needs go, java, mvn, node, terraform)
	@echo '==> build the command'
	cargo build --locked --workspace --bin sealwax
	@echo '==> S3 clients through the gateway'
	@$(servers) tests/gateway/clients/run.sh "$(target)/debug/sealwax" $(CLIENTS)

.PHONY: matrix
matrix: ## run the main commands against other S3 stores, into docs/STORES.md; STORES="moto": only print (needs go, java, mvn)
	@echo '==> build the command'
	cargo build --locked --workspace --bin sealwax
	@echo '==> stores that are not AWS'
	@$(servers) tests/stores/run.sh "$(target)/debug/sealwax" $(STORES)

.PHONY: demo
demo: ## disaster recovery between two Regions of a LocalStack
	@echo '==> build the demonstration'
	cargo build --locked --workspace --bin disaster_recovery
	@echo '==> disaster recovery, on LocalStack'
	$(servers) --localstack-only "$(target)/debug/disaster_recovery"

.PHONY: demo-gateway
demo-gateway: ## an unchanged boto3 program through `sealwax serve`, which outlives a Region, on LocalStack
	@echo '==> build the command'
	cargo build --locked --workspace --bin sealwax
	@echo '==> an application that knows nothing of encryption, on LocalStack'
	@$(servers) --localstack-only sh -c 'exec "$${SEALWAX_TEST_AWS_CLI%/*}/python" examples/gateway/demo/demo.py \
		"$(target)/debug/sealwax"'

.PHONY: example-datafusion
example-datafusion: ## SQL over sealed Parquet, beside plain Parquet, on LocalStack (10 minutes to build)
	@echo '==> build the example'
	cd examples/datafusion && CARGO_TARGET_DIR="$(datafusion_target)" cargo build --locked
	@echo '==> SQL over sealed Parquet, on LocalStack'
	$(servers) --localstack-only sh -c 'exec "$(datafusion_target)/debug/sealwax-example-datafusion" \
		"$$SEALWAX_TEST_LOCALSTACK_URL" "$$SEALWAX_EAST_BUCKET" "$$SEALWAX_EAST_KEY"'

.PHONY: example-slatedb
example-slatedb: ## a SlateDB database of sealed files, on LocalStack (5 minutes to build)
	@echo '==> build the example'
	cd examples/slatedb && CARGO_TARGET_DIR="$(slatedb_target)" cargo build --locked
	@echo '==> a database of sealed files, on LocalStack'
	$(servers) --localstack-only sh -c 'exec "$(slatedb_target)/debug/sealwax-example-slatedb" \
		"$$SEALWAX_TEST_LOCALSTACK_URL" "$$SEALWAX_EAST_BUCKET" "$$SEALWAX_EAST_KEY"'

.PHONY: lambda-test
lambda-test: ## run the Lambda function in an emulator, on LocalStack: S3 Batch Operations and S3 events
	@tests/lambda/run.sh

.PHONY: package
package: ## package the crates as for publishing, and build each from its package
	@echo '==> packages'
	cargo package --locked $(patsubst %,-p %,$(published)) $(if $(DIRTY),--allow-dirty)

.PHONY: semver
semver: ## compare the libraries' interfaces with those of BASE (a revision; default main) (cargo-semver-checks)
	@.ci/semver $(or $(BASE),main) $(libraries)

.PHONY: bench
bench: ## measure beside other clients, into docs/BENCHMARKS.md; QUICK=1 for a trial in target/bench
	@echo '==> the other clients'
	@. localstack/lib.sh; ensure_venv "$(target)/bench/venv" crates/bench/peers/requirements.txt
	@echo '==> the ciphers: AWS-LC, and pure Rust'
	cargo bench --locked -p sealwax-envelope --bench throughput -- $(if $(QUICK),--quick)
	cargo bench --locked $(rustcrypto) --bench throughput -- $(if $(QUICK),--quick)
	@echo '==> whole processes'
	cargo build --release --locked -p sealwax-cli -p sealwax-bench
	$(target)/release/sealwax-bench $(if $(QUICK),--quick) $(BENCH)

.PHONY: bench-rewrap
bench-rewrap: ## measure bulk rewraps, into docs/BENCHMARKS-REWRAP.md; QUICK=1 for a trial in target/bench
	@echo '==> build the command and the benchmark'
	cargo build --release --locked -p sealwax-cli -p sealwax-bench
	@echo '==> bulk rewraps'
	$(servers) $(target)/release/sealwax-bench --rewrap $(if $(QUICK),--quick) $(BENCH)

.PHONY: scale
scale: bench-rewrap ## rewraps of a million objects, and of the 175,000 keys of a year's objects: the same as bench-rewrap

.PHONY: fmt
fmt: ## format the Rust code
	@echo '==> format'
	cargo fmt --all

.PHONY: fmt-check
fmt-check: ## check the format
	@echo '==> check the format'
	cargo fmt --all --check

.PHONY: locks
locks: ## check that the lock files of the other workspaces are up to date
	@echo '==> lock files'
	@for workspace in examples/datafusion examples/slatedb tests/fuzz; do \
		cargo update --quiet --workspace --locked --manifest-path "$$workspace/Cargo.toml"; done

.PHONY: clippy
clippy: ## lint; warnings are errors
	@echo '==> lint the workspace'
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@echo '==> lint the envelope with the pure Rust ciphers'
	cargo clippy --locked $(rustcrypto) --all-targets -- -D warnings

.PHONY: doc
doc: ## build the documentation as docs.rs does, with all features; warnings are errors
	@echo '==> documentation'
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --all-features

.PHONY: features
features: ## compile the libraries with each combination of their features
	@.ci/features

.PHONY: layering
layering: ## check the direction of crates and modules: no circle, no import of a higher floor
	@echo '==> layering'
	@.ci/layering.py --self-test
	@.ci/layering.py

.PHONY: prose
prose: ## check the wording of documentation, comments and messages
	@echo '==> prose'
	@.ci/prose.py --self-test
	@.ci/prose.py

# The brackets keep this file from matching itself.
.PHONY: markers
markers: ## check that no unfinished code is left
	@echo '==> unfinished code'
	@found=0; git grep --untracked -nE 'to[d]o!|unimplemente[d]!' -- '*.rs' || found=$$?; \
	case $$found in 0) echo 'error: unfinished code' >&2; exit 1 ;; 1) echo OK ;; *) exit $$found ;; esac

# The following targets take minutes to hours. Those that name a cargo tool install it under target/ on their first run.

.PHONY: deny
deny: ## check licences, bans, sources and advisories of the dependencies (cargo-deny)
	@.ci/deny

.PHONY: large
large: ## seal, re-wrap and read an object above 5 GiB, on SeaweedFS (17 GB of disk)
	@echo '==> build the command'
	cargo build --locked --workspace --bin sealwax --test policies
	@echo '==> an object above 5 GiB'
	$(servers) tests/large.sh "$(target)/debug/sealwax" target/servers/localstack/venv/bin/python

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZ_SECONDS (default 60) (cargo-fuzz)
	@tests/fuzz/run.sh

.PHONY: mutants
mutants: ## mutate what decides about keys; tests must catch 90 % (MUTANTS="s3 --shard 1/60": a part) (cargo-mutants)
	@.ci/mutants $(MUTANTS)

.PHONY: timing
timing: ## test that the time of comparisons doesn't reveal where they differ (as dudect)
	@echo '==> timing: AWS-LC, and pure Rust'
	cargo bench --locked -p sealwax-envelope --bench timing
	cargo bench --locked $(rustcrypto) --bench timing

.PHONY: localstack-start localstack-stop
localstack-start: ## start LocalStack and seed it
	@localstack/localstack.sh start
localstack-stop: ## stop LocalStack
	@localstack/localstack.sh stop

.PHONY: servers-start servers-stop
servers-start: localstack-start ## start both test servers
	@localstack/seaweedfs.sh start
servers-stop: localstack-stop ## stop both test servers
	@localstack/seaweedfs.sh stop

.PHONY: clean
clean: servers-stop ## stop the servers and delete all build output
	@echo '==> clean'
	cargo clean
