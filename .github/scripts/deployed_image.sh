#!/usr/bin/env bash
# Print the image that an environment runs, according to its Terraform state, so that a plan shows only real changes.
# Before the first deployment there may be no state; then print an image that does not exist in the repository.
#
# Usage: deployed_image.sh REPOSITORY < STATE
set -euo pipefail

jq --slurp --raw-output --arg none "$1@sha256:$(printf '0%.0s' {1..64})" '
    [.[].resources[]? | select(.type == "aws_ecs_task_definition" and .name == "run").instances[].attributes.container_definitions
        | fromjson[0].image] | first // $none
'
