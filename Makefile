SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

servers := tests/servers/with-servers.sh
rustcrypto := -p sealwax-envelope --no-default-features --features rustcrypto

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: check
check: fmt-check clippy doc layering markers ## everything that CI runs besides the tests

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

.PHONY: fmt
fmt: ## format the Rust code
	@echo '==> format'
	cargo fmt --all

.PHONY: fmt-check
fmt-check: ## check the format
	@echo '==> check the format'
	cargo fmt --all --check

.PHONY: clippy
clippy: ## lint, a warning being an error
	@echo '==> lint the workspace'
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@echo '==> lint the envelope with the pure Rust ciphers'
	cargo clippy --locked $(rustcrypto) --all-targets -- -D warnings

.PHONY: doc
doc: ## build the documentation, a warning being an error
	@echo '==> documentation'
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps

.PHONY: layering
layering: ## check which crate may depend on what
	@echo '==> layering'
	.ci/layering

# The brackets keep this file from matching itself.
.PHONY: markers
markers: ## check that no unfinished code is left
	@echo '==> unfinished code'
	@found=0; git grep --untracked -nE 'to[d]o!|unimplemente[d]!' -- '*.rs' || found=$$?; \
	case $$found in 0) echo 'error: unfinished code' >&2; exit 1 ;; 1) echo OK ;; *) exit $$found ;; esac

.PHONY: deny
deny: ## licences, bans, sources and advisories of the dependencies (cargo-deny)
	@echo '==> dependencies'
	@cargo deny --version >/dev/null 2>&1 || { echo 'error: cargo-deny is missing: cargo install --locked cargo-deny' >&2; exit 1; }
	cargo deny --locked --config .config/deny.toml check

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
