#!/usr/bin/env bash
# Run a task of an environment to its end; print the end of its log; exit with its exit code.
#
# Usage: run_task.sh OUTPUTS TASK DEFINITION [COMMAND...]
#   OUTPUTS     file with the environment's `terraform output -json`
#   TASK        run or provision: the container in the task definition; in the outputs, its log group and security group
#   DEFINITION  name of the output with the task definition
#   COMMAND     command to run instead of the definition's own
set -euo pipefail

outputs=$1 task=$2 definition=$3
shift 3

output() { jq --exit-status --raw-output --arg task "$task" "$1" "$outputs"; }

cluster=$(output '.cluster.value')
# shellcheck disable=SC2016 # the variable is one of jq
network=$(output '{awsvpcConfiguration: {
    subnets: .private_subnet_ids.value, securityGroups: [.task_security_group_ids.value[$task]], assignPublicIp: "DISABLED"
}} | tojson')
overrides=$(jq --null-input --compact-output --arg task "$task" \
    'if $ARGS.positional == [] then {} else {containerOverrides: [{name: $task, command: $ARGS.positional}]} end' --args -- "$@")

# The call succeeds even if the task cannot be placed: then it returns failures, and no task.
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
        echo "The task takes too long and is being stopped." >&2
        aws ecs stop-task --cluster "$cluster" --task "$arn" --reason "It took too long." > /dev/null
        exit 1
    fi
    sleep "${TASK_POLL_SECONDS:-5}"
done

# A container's log arrives with a delay, and not at all if no container started; that must not hide the exit code.
echo "The end of its log:"
aws logs get-log-events --log-group-name "$(output ".log_group_names.value[\"$task\"]")" \
    --log-stream-name "$task/$task/${arn##*/}" --limit 50 --output json 2> /dev/null | jq --raw-output '.events[].message' ||
    echo "(nothing could be read)"

code=$(jq --raw-output --arg task "$task" '.containers[] | select(.name == $task) | .exitCode // empty' <<< "$described")
if [ -z "$code" ]; then
    echo "The task never ran: $(jq --raw-output '[.stoppedReason, .containers[].reason] | map(values) | unique | join("; ")' <<< "$described")" >&2
    exit 1
fi
echo "The task ended with exit code $code."
exit "$code"
