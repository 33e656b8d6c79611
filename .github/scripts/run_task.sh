#!/usr/bin/env bash
# Run a task of an environment once, to its end; print the last of what it said; exit with its exit code.
#
# Usage: run_task.sh OUTPUTS TASK DEFINITION [COMMAND...]
#   OUTPUTS     file with what `terraform output -json` says of the environment
#   TASK        what the task is called in its definition, and its log group in the outputs: run or provision
#   DEFINITION  name of the output with the task's definition
#   COMMAND     what to run instead of the definition's own command
set -euo pipefail

outputs=$1 task=$2 definition=$3
shift 3

output() { jq --exit-status --raw-output "$1" "$outputs"; }

cluster=$(output '.cluster.value')
network=$(output '{awsvpcConfiguration: {
    subnets: .private_subnet_ids.value, securityGroups: [.task_security_group_id.value], assignPublicIp: "DISABLED"
}} | tojson')
overrides=$(jq --null-input --compact-output --arg task "$task" \
    'if $ARGS.positional == [] then {} else {containerOverrides: [{name: $task, command: $ARGS.positional}]} end' --args -- "$@")

# A task can fail to be placed without the call failing: then there are failures, and no task.
started=$(aws ecs run-task --cluster "$cluster" --task-definition "$(output ".$definition.value")" --launch-type FARGATE \
    --count 1 --network-configuration "$network" --overrides "$overrides" --output json)
if ! arn=$(jq --exit-status --raw-output '.tasks[0].taskArn' <<< "$started"); then
    echo "ECS did not start the task: $(jq --compact-output '.failures' <<< "$started")" >&2
    exit 1
fi
echo "Started $arn"

state() { aws ecs describe-tasks --cluster "$cluster" --tasks "$arn" --output json | jq --compact-output '.tasks[0]'; }

# `aws ecs wait tasks-stopped` gives up after ten minutes; the first migration of a large warehouse may take longer.
deadline=$((SECONDS + ${TASK_TIMEOUT:-1800}))
until described=$(state) && [ "$(jq --raw-output .lastStatus <<< "$described")" = STOPPED ]; do
    if [ "$SECONDS" -ge "$deadline" ]; then
        echo "The task takes too long, and is stopped." >&2
        aws ecs stop-task --cluster "$cluster" --task "$arn" --reason "It took too long." > /dev/null
        exit 1
    fi
    sleep "${TASK_POLL_SECONDS:-5}"
done

# What a container said comes with a delay, and not at all where none started; that must not hide the exit code.
echo "Last of what it said:"
aws logs get-log-events --log-group-name "$(output ".log_group_names.value[\"$task\"]")" \
    --log-stream-name "$task/$task/${arn##*/}" --limit 50 --output json 2> /dev/null | jq --raw-output '.events[].message' ||
    echo "(nothing could be read)"

code=$(jq --raw-output --arg task "$task" '.containers[] | select(.name == $task) | .exitCode // empty' <<< "$described")
if [ -z "$code" ]; then
    echo "It never ran: $(jq --raw-output '[.stoppedReason, .containers[].reason] | map(values) | unique | join("; ")' <<< "$described")" >&2
    exit 1
fi
echo "It ended with exit code $code."
exit "$code"
