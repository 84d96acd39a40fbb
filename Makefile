SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

servers := tests/servers/with-servers.sh
target := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
datafusion_target := $(target)/datafusion
libraries := sealwax-aws-lc sealwax-envelope sealwax-s3 sealwax-object-store
published := $(libraries) sealwax-cli
rustcrypto := -p sealwax-envelope --no-default-features --features rustcrypto

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: check
check: fmt-check locks clippy doc layering markers ## everything that CI runs besides the tests

.PHONY: test
test: ## all tests, against LocalStack and SeaweedFS started for them
	@echo '==> tests of the envelope with the pure Rust ciphers'
	cargo test --locked $(rustcrypto)
	@echo '==> the vectors, by the second reader'
	@. localstack/lib.sh; venv="$${CARGO_TARGET_DIR:-$$PWD/target}/reader/venv"; \
	ensure_venv "$$venv" tests/reader/requirements.txt; "$$venv/bin/python" tests/reader/sealwax_reader.py tests/vectors
	@echo '==> build the tests of the workspace'
	cargo test --locked --workspace --no-run
	@echo '==> tests of the workspace, with servers'
	$(servers) cargo test --locked --workspace

.PHONY: interop
interop: ## the S3 Encryption Clients for Go and Java read ours, and we read theirs (needs go, java, mvn)
	@echo '==> the peers'
	mkdir -p target/interop
	cd tests/interop/go && go build -o ../../../target/interop/go-peer .
	cd tests/interop/java && mvn -q -B -DskipTests package dependency:build-classpath \
		-DbuildDirectory="$$OLDPWD/target/interop/java" -Dmdep.outputFile="$$OLDPWD/target/interop/java.classpath"
	@echo '==> both read both'
	SEALWAX_TEST_S3EC_GO="$$PWD/target/interop/go-peer" \
	SEALWAX_TEST_S3EC_JAVA="java -cp $$PWD/target/interop/java/classes:$$(cat target/interop/java.classpath) dev.sealwax.Peer" \
		$(servers) cargo test --locked -p sealwax-tests --test s3ec -- --ignored

.PHONY: demo
demo: ## disaster recovery between two Regions of a LocalStack
	@echo '==> build the demonstration'
	cargo build --locked --workspace --bin disaster_recovery
	@echo '==> disaster recovery, on LocalStack'
	$(servers) --localstack-only "$${CARGO_TARGET_DIR:-target}/debug/disaster_recovery"

.PHONY: example-datafusion
example-datafusion: ## SQL over sealed Parquet, beside plain Parquet, on LocalStack (10 minutes to build)
	@echo '==> build the example'
	cd examples/datafusion && CARGO_TARGET_DIR="$(datafusion_target)" cargo build --locked
	@echo '==> SQL over sealed Parquet, on LocalStack'
	$(servers) --localstack-only sh -c 'exec "$(datafusion_target)/debug/sealwax-example-datafusion" \
		"$$SEALWAX_TEST_LOCALSTACK_URL" "$$SEALWAX_EAST_BUCKET" "$$SEALWAX_EAST_KEY"'

# With one of the tests, for then it takes what `make test` built: the features of shared crates are those of the tests.
.PHONY: lambda-test
lambda-test: ## the Lambda function under an emulator, on LocalStack: S3 Batch Operations and S3 events
	@echo '==> build the function and the command'
	cargo build --locked --workspace --bin sealwax-lambda --bin sealwax --test policies
	@. localstack/lib.sh; ensure_venv "$(target)/lambda-test/venv" tests/lambda/requirements.txt
	@echo '==> the function under the emulator'
	$(servers) --localstack-only target/servers/localstack/venv/bin/python tests/lambda/run.py \
		"$(target)/lambda-test/venv/bin/cargo-lambda" "$(target)/debug/sealwax-lambda" "$(target)/debug/sealwax"

.PHONY: package
package: ## the crates as they would be published, each built from its package
	@echo '==> packages'
	cargo package --locked $(patsubst %,-p %,$(published)) $(if $(DIRTY),--allow-dirty)

.PHONY: semver
semver: ## compare the interfaces of the libraries with those of BASE (a revision; the last commit on main unless given)
	@tools=$$(.ci/tool cargo-semver-checks 0.51.0); base=$(or $(BASE),main); compared=(); \
	for library in $(libraries); do \
		if git cat-file -e "$$base:crates/$${library#sealwax-}/Cargo.toml" 2>/dev/null; then compared+=(-p "$$library"); \
		else echo "==> $$library is new since $$base"; fi; \
	done; \
	echo '==> interfaces'; PATH="$$tools:$$PATH" cargo semver-checks "$${compared[@]}" --baseline-rev "$$base"

.PHONY: bench
bench: ## measure beside other clients, into docs/BENCHMARKS.md; QUICK=1 for a trial in target/bench
	@echo '==> the other clients'
	@. localstack/lib.sh; ensure_venv "$${CARGO_TARGET_DIR:-$$PWD/target}/bench/venv" \
		crates/cli/benches/whole_process/peers/requirements.txt
	@echo '==> the ciphers: AWS-LC, and pure Rust'
	cargo bench --locked -p sealwax-envelope --bench throughput -- $(if $(QUICK),--quick)
	cargo bench --locked $(rustcrypto) --bench throughput -- $(if $(QUICK),--quick)
	@echo '==> whole processes'
	cargo bench --locked -p sealwax-cli --bench whole_process -- $(if $(QUICK),--quick) $(BENCH)

.PHONY: bench-rewrap
bench-rewrap: ## measure rewraps of many objects, into docs/BENCHMARKS-REWRAP.md; QUICK=1 for a trial in target/bench
	@echo '==> build the command and the benchmark'
	cargo bench --locked -p sealwax-cli --bench whole_process --no-run
	@echo '==> rewraps of many objects'
	$(servers) cargo bench --locked -p sealwax-cli --bench whole_process -- --rewrap $(if $(QUICK),--quick)

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
	@for workspace in examples/datafusion tests/fuzz; do \
		cargo update --quiet --workspace --locked --manifest-path "$$workspace/Cargo.toml"; done

.PHONY: clippy
clippy: ## lint, a warning being an error
	@echo '==> lint the workspace'
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@echo '==> lint the envelope with the pure Rust ciphers'
	cargo clippy --locked $(rustcrypto) --all-targets -- -D warnings

.PHONY: doc
doc: ## build the documentation, a warning being an error
	@echo '==> documentation'
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --features sealwax-s3/testing

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

# What follows takes long, and installs a tool under target/ when it is first run.

.PHONY: deny
deny: ## licences, bans, sources and advisories of the dependencies (cargo-deny)
	@echo '==> dependencies'
	@tools=$$(.ci/tool cargo-deny 0.20.2); deny="$$tools/cargo-deny --locked --config .config/deny.toml check"; \
	$$deny licenses bans sources; \
	$$deny advisories || { echo 'error: advisories: see above; they were not checked if their database could not be had' >&2; exit 1; }

.PHONY: large
large: ## an object above 5 GiB, sealed, re-wrapped in parts and read, on SeaweedFS (17 GB of disk)
	@echo '==> build the command'
	cargo build --locked --workspace --bin sealwax --test policies
	@echo '==> an object above 5 GiB'
	$(servers) tests/large.sh "$(target)/debug/sealwax" target/servers/localstack/venv/bin/python

FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz: ## any bytes whatever, for FUZZ_SECONDS (60) each target (cargo-fuzz)
	@tools=$$(.ci/tool cargo-fuzz 0.13.2); out="$${CARGO_TARGET_DIR:-$$PWD/target}/fuzz"; \
	export PATH="$$tools:$$PATH" RUSTC_BOOTSTRAP=1; \
	echo '==> build the fuzz targets'; \
	cargo metadata --locked --format-version 1 --manifest-path tests/fuzz/Cargo.toml >/dev/null; \
	cargo fuzz build --fuzz-dir tests/fuzz --target-dir "$$out"; \
	for target in $(notdir $(basename $(wildcard tests/fuzz/targets/*.rs))); do \
		echo "==> $$target, $(FUZZ_SECONDS) s"; mkdir -p "$$out/corpus/$$target"; \
		seeds=tests/fuzz/seeds/$$target; [ -d "$$seeds" ] || seeds=; \
		cargo fuzz run --fuzz-dir tests/fuzz --target-dir "$$out" "$$target" "$$out/corpus/$$target" $$seeds \
			-- -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 >"$$out/$$target.log" 2>&1 || { tail -n 60 "$$out/$$target.log"; exit 1; }; \
		sed -n 's/^stat::number_of_executed_units: */executions: /p' "$$out/$$target.log"; \
	done

MUTANTS_JOBS ?= 2
.PHONY: mutants
mutants: ## change the core crate in one place after the other; its tests must notice (cargo-mutants)
	@echo '==> mutants'
	@tools=$$(.ci/tool cargo-mutants 27.1.0); out="$${CARGO_TARGET_DIR:-$$PWD/target}/mutants"; mkdir -p "$$out"; status=0; \
	PATH="$$tools:$$PATH" cargo mutants --config .config/mutants.toml --package sealwax-envelope --jobs $(MUTANTS_JOBS) \
		--output "$$out" $(MUTANTS) || status=$$?; \
	case $$status in 0 | 2 | 3) ;; *) exit $$status ;; esac; \
	cd "$$out/mutants.out"; caught=$$(cat caught.txt timeout.txt | wc -l); missed=$$(wc -l <missed.txt); \
	echo "caught $$caught of $$((caught + missed)); 85 % must be"; [ $$((caught * 100)) -ge $$(((caught + missed) * 85)) ]

.PHONY: timing
timing: ## whether the time of a comparison tells where it differs (as dudect)
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
	@tests/servers/seaweedfs.sh start
servers-stop: localstack-stop ## stop both test servers
	@tests/servers/seaweedfs.sh stop

.PHONY: clean
clean: servers-stop ## stop the servers and delete everything that was built
	@echo '==> clean'
	cargo clean
