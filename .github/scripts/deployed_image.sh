#!/usr/bin/env bash
# Print the image that an environment runs, as its Terraform state says, so that a plan shows nothing but what is changed.
# Where nothing is deployed yet, and so there may be no state at all: an image of the repository that does not exist.
#
# Usage: deployed_image.sh REPOSITORY < STATE
set -euo pipefail

jq --slurp --raw-output --arg none "$1@sha256:$(printf '0%.0s' {1..64})" '
    [.[].resources[]? | select(.type == "aws_ecs_task_definition" and .name == "run").instances[].attributes.container_definitions
        | fromjson[0].image] | first // $none
'
