#!/usr/bin/env bash
# Apply a saved plan, and leave the outputs in outputs.json and what Terraform printed in apply.log.
#
# Usage: apply_plan.sh PLAN
#   PLAN  the file that `terraform plan -out` wrote
set -euo pipefail

if ! terraform apply -lock-timeout=10m "$1" 2>&1 | tee apply.log; then
    if grep --quiet 'Saved plan is stale' apply.log; then
        echo "Nothing was applied: the environment's state has changed since this was planned, by another deployment or by" \
            "somebody who applied by hand. Run the job Plan again, and review what it shows." >&2
    fi
    exit 1
fi
terraform output -json > outputs.json
