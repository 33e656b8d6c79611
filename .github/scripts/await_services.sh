#!/usr/bin/env bash
# Wait until the services of an environment are stable, and check that they run the deployed image: a service whose new
# tasks do not become healthy rolls back to its old ones, and is stable too.
#
# Usage: await_services.sh OUTPUTS IMAGE
#   OUTPUTS  file with the environment's `terraform output -json`
#   IMAGE    the image that the services must run
set -euo pipefail

outputs=$1 image=$2

cluster=$(jq --exit-status --raw-output '.cluster.value' "$outputs")
mapfile -t services < <(jq --exit-status --raw-output '.service_names.value[]' "$outputs")

described() { aws ecs describe-services --cluster "$cluster" --services "${services[@]}" --output json; }

# As `aws ecs wait services-stable` has it, which gives up after ten minutes: a service that rolls back, and whose load
# balancer lets go of its old tasks first, takes longer, and its verdict would be lost.
unstable='.services[] | select((.deployments | length) != 1 or .runningCount != .desiredCount)'
deadline=$((SECONDS + ${SERVICES_TIMEOUT:-2400}))
until state=$(described) && [ -z "$(jq "$unstable" <<< "$state")" ]; do
    if [ "$SECONDS" -ge "$deadline" ]; then
        echo "The services take too long. These are not stable yet; their newest events come first:" >&2
        jq --raw-output "$unstable"' | "\(.serviceName): \(.runningCount) of \(.desiredCount) tasks run", (.events[:5][] | "  \(.message)")' \
            <<< "$state" >&2
        exit 1
    fi
    sleep "${TASK_POLL_SECONDS:-5}"
done

wrong=0
while IFS=$'\t' read -r service definition; do
    runs=$(aws ecs describe-task-definition --task-definition "$definition" --output json |
        jq --raw-output '.taskDefinition.containerDefinitions[0].image')
    if [ "$runs" = "$image" ]; then
        echo "$service runs $image"
    else
        echo "$service went back to $runs: its new tasks did not become healthy. See its log group for the reason." >&2
        wrong=1
    fi
done < <(jq --raw-output '.services[] | [.serviceName, .taskDefinition] | @tsv' <<< "$state")
exit "$wrong"
