#!/usr/bin/env bash
# Plan a deployment, for its reviewers, and change nothing. Run it in the environment's folder. It leaves
#   prepare.tfplan   what comes first: all of it, but services and runs keep the image that they have. The first time,
#                    nothing has one yet, and no service runs: it would give up before its database is there.
#   roll_out.tfplan  what there is in the end, with the new image everywhere
#   first            true or false: whether it is the first time
#
# Usage: plan_deployment.sh IMAGE
#   IMAGE  the new image
set -euo pipefail

image=$1
scripts=$(dirname "$0")

state=$(terraform state pull)
# It is the first time as long as no service runs: also after a first one that came to nothing.
services='[.[].resources[]? | select(.type == "aws_ecs_service").instances[].attributes.desired_count] | add // 0'
if [ "$(jq --slurp "$services" <<< "$state")" = 0 ]; then
    echo true > first
    TF_VAR_image=$image terraform plan -lock=false -out=prepare.tfplan -var paused=true
else
    echo false > first
    old=$("$scripts/deployed_image.sh" "${image%@*}" <<< "$state")
    TF_VAR_image=$old TF_VAR_provisioning_image=$image terraform plan -lock=false -out=prepare.tfplan
fi
TF_VAR_image=$image terraform plan -lock=false -out=roll_out.tfplan
