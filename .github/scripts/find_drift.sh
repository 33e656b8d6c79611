#!/usr/bin/env bash
# Compare an environment, with the image that it runs, with its Terraform; fail if anything differs, and show it in the
# summary of the job. Change nothing. Run it in the environment's folder.
#
# Usage: find_drift.sh REPOSITORY
#   REPOSITORY  of images, by its address
set -euo pipefail

repository=$1
scripts=$(dirname "$0")

state=$(terraform state pull)
if [ "$(jq --slurp '[.[].resources[]?] | length' <<< "$state")" = 0 ]; then
    echo "Nothing is deployed."
    exit 0
fi
TF_VAR_image=$("$scripts/deployed_image.sh" "$repository" <<< "$state")
export TF_VAR_image

code=0
terraform plan -lock=false -detailed-exitcode -out=drift.tfplan || code=$?
if [ "$code" = 2 ]; then
    {
        echo "## ${PWD##*/} is not as its Terraform says"
        echo '```text'
        terraform show -no-color drift.tfplan | head -c 900000 # GitHub shows a megabyte
        echo '```'
    } >> "$GITHUB_STEP_SUMMARY"
    echo "Something was changed in AWS and not in Terraform, or was merged and not deployed. The summary of the job shows it." >&2
fi
exit "$code"
