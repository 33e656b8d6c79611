#!/usr/bin/env bash
# Set up and migrate the databases of an environment with a new image, while its services and runs keep the old one: new
# code never meets old tables. What else Terraform changes is changed on the way. Run it in the environment's folder.
#
# Migrations of the warehouse only add, and need nobody to stop. Those of Dagster's own storage do: if there are any, the
# task ends with 75 and the services are stopped for them. The next `terraform apply` starts them again.
#
# Usage: migrate.sh IMAGE [PLAN]
#   IMAGE  the new image
#   PLAN   the saved plan of these changes, if they were reviewed; otherwise they are planned and applied at once
set -euo pipefail

image=$1 plan=${2:-}
scripts=$(dirname "$0")

# What Terraform passes on to every apply below that plans by itself.
TF_VAR_image=$(terraform state pull | "$scripts/deployed_image.sh" "${image%@*}")
export TF_VAR_image TF_VAR_provisioning_image=$image

apply() {
    terraform apply -auto-approve -lock-timeout=10m "$@"
    terraform output -json > outputs.json
}

provision() { "$scripts/run_task.sh" outputs.json provision provision_task_definition; }

if [ -n "$plan" ]; then "$scripts/apply_plan.sh" "$plan"; else apply; fi
echo "Migrating. The databases of this deployment can be restored to this moment: $(date --utc +%Y-%m-%dT%H:%M:%SZ)"
code=0
provision || code=$?
if [ "$code" = 75 ]; then
    echo "Stopping the services, for Dagster's storage has to be migrated."
    apply -var paused=true
    "$scripts/await_services.sh" outputs.json "$TF_VAR_image"
    sleep "${DAEMON_SILENCE_SECONDS:-100}" # until the last daemon's report is old
    code=0
    provision || code=$?
    if [ "$code" != 0 ]; then
        echo "Starting the services again, as they were." >&2
        apply
    fi
fi
exit "$code"
