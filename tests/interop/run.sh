#!/usr/bin/env bash
# Builds the peers (the S3 Encryption Clients for Go and Java) and runs the interoperability tests with them.
# Needs go, java and mvn.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

peers=$PWD/target/interop
echo '==> build the peers'
mkdir -p "$peers"
(cd tests/interop/go && go build -o "$peers/go-peer" .)
(cd tests/interop/java && mvn -q -B -DskipTests package dependency:build-classpath \
    -DbuildDirectory="$peers/java" -Dmdep.outputFile="$peers/java.classpath")

echo '==> each client reads the objects of the others'
export SEALWAX_TEST_S3EC_GO=$peers/go-peer
SEALWAX_TEST_S3EC_JAVA="java -cp $peers/java/classes:$(cat "$peers/java.classpath") dev.sealwax.Peer"
export SEALWAX_TEST_S3EC_JAVA
# The whole workspace, so that shared crates have the features of `make test` and are not built again.
exec localstack/with-servers.sh cargo test --locked --workspace --test s3ec -- --ignored
