#!/usr/bin/env bash
# Restore an environment's warehouse to a point in time, as another server beside it, and try it: load what it lacks from
# the lake, rebuild it from there, and compare the two. Print how long each part took, and delete the server again. The
# warehouse itself goes on, and nothing of it is changed.
#
# Run it with your own credentials, from an administrator's machine: the roles of the workflows may not do this. It takes
# the AWS command line and jq. docs/runbooks.md says what to do with the result.
#
# Usage: restore_drill.sh OUTPUTS [TIME]
#   OUTPUTS  file with the environment's `terraform output -json`
#   TIME     the moment to restore, such as 2026-11-29T08:00:00Z; the latest that can be restored, if left out
#
# With KEEP=yes, the server stays. DRILL_TIMEOUT is how many seconds each part may take at most; four hours.
set -euo pipefail

outputs=$1 moment=${2:-}
run_task=$(dirname "$0")/../.github/scripts/run_task.sh
patience=${DRILL_TIMEOUT:-14400}

name=$(jq --exit-status --raw-output '.cluster.value' "$outputs")
server=$name-warehouse copy=$name-warehouse-drill

describe() { aws rds describe-db-instances --db-instance-identifier "$1" --output json | jq --exit-status --compact-output '.DBInstances[0]'; }

took() { echo "$1: $((SECONDS - $2)) s"; }

if describe "$copy" > /dev/null 2>&1; then
    echo "There is a server $copy already. Delete it, or wait for the drill that uses it." >&2
    exit 1
fi
like=$(describe "$server")
mapfile -t groups < <(jq --raw-output '.VpcSecurityGroups[].VpcSecurityGroupId' <<< "$like")
if [ -n "$moment" ]; then
    when=(--restore-time "$moment")
else
    when=(--use-latest-restorable-time)
    moment=$(jq --raw-output .LatestRestorableTime <<< "$like")
fi
echo "Restoring $server as it was at $moment"

remove() {
    if [ "${KEEP:-}" = yes ]; then
        echo "$copy stays. Delete it when it is not needed any more; it costs as much as $server."
    else
        aws rds delete-db-instance --db-instance-identifier "$copy" --skip-final-snapshot --delete-automated-backups > /dev/null
        echo "Deleting $copy"
    fi
}

start=$SECONDS
# Otherwise RDS would take the account's default security group, network and parameters, and the same protection.
aws rds restore-db-instance-to-point-in-time --source-db-instance-identifier "$server" --target-db-instance-identifier "$copy" \
    "${when[@]}" --db-subnet-group-name "$(jq --raw-output .DBSubnetGroup.DBSubnetGroupName <<< "$like")" \
    --vpc-security-group-ids "${groups[@]}" --db-parameter-group-name "$(jq --raw-output '.DBParameterGroups[0].DBParameterGroupName' <<< "$like")" \
    --no-multi-az --no-publicly-accessible --no-deletion-protection > /dev/null
trap remove EXIT

until copied=$(describe "$copy") && [ "$(jq --raw-output .DBInstanceStatus <<< "$copied")" = available ]; do
    if [ "$((SECONDS - start))" -ge "$patience" ]; then
        echo "$copy is not available yet: it is $(jq --raw-output .DBInstanceStatus <<< "$copied")." >&2
        exit 1
    fi
    sleep "${TASK_POLL_SECONDS:-15}"
done
took "Restored" "$start"

# Roles and passwords are as they were then: the task's own login fits, unless the password has changed since.
start=$SECONDS
TASK_TIMEOUT=$patience "$run_task" "$outputs" run run_task_definition totes drill --yes --host "$(jq --raw-output .Endpoint.Address <<< "$copied")"
took "Caught up, rebuilt and compared" "$start"
