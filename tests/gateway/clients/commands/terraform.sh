#!/usr/bin/env bash
# Terraform: its S3 backend, with the lock that is an object.
# shellcheck source=tests/gateway/clients/commands/operations.sh
. "$(dirname "${BASH_SOURCE[0]}")/operations.sh"
export CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1 TF_INPUT=0
cp "$(dirname "${BASH_SOURCE[0]}")/state.tf" .

# initialize BUCKET
initialize() {
    terraform init -reconfigure -backend-config="bucket=$1" -backend-config="key=$PREFIX/state" \
        -backend-config="region=$AWS_REGION" -backend-config="endpoints={s3=\"$AWS_ENDPOINT_URL\"}"
}

check_errors() { fails_with 'Forbidden' initialize "$FORBIDDEN"; }
# While the first run holds the lock, a second one is refused.
check_own() {
    initialize "$BUCKET"
    export TF_VAR_text=sealwax-plaintext-marker TF_VAR_during='terraform plan -lock-timeout=0s >second 2>&1 || true'
    terraform apply -auto-approve
    grep -F 'Error acquiring the state lock' second
    check_rewrapped
    # A second state, which is deleted.
    terraform workspace new other
    terraform apply -auto-approve
    terraform destroy -auto-approve
    terraform workspace select default
    terraform workspace delete other
    check_rewrapped
}
# The state has what was applied, so there is nothing to do.
check_rewrapped() {
    export TF_VAR_text=sealwax-plaintext-marker TF_VAR_during='terraform plan -lock-timeout=0s >second 2>&1 || true'
    terraform plan -detailed-exitcode
    terraform output -raw text | diff - <(printf sealwax-plaintext-marker)
}

run_operations "$@"
