#!/usr/bin/env bash
# Plan again, and apply that, but only if it leads to nothing else than a plan that was reviewed: the state has moved on
# since, by steps of the deployment itself, and Terraform takes no plan of an earlier state.
#
# What is changed now has to have the reviewed value, as far as it was known; what is created, replaced or deleted now was
# to be so then. Only names are printed, no values: some are secret.
#
# Usage: apply_as_reviewed.sh REVIEWED [OPTION...]
#   REVIEWED  the saved plan that was reviewed
#   OPTION    options of `terraform plan`
set -euo pipefail

reviewed=$1
shift
scripts=$(dirname "$0")

terraform plan -lock-timeout=10m -out=again.tfplan "$@"
terraform show -json "$reviewed" > reviewed.json
terraform show -json again.tfplan > again.json

# shellcheck disable=SC2016 # the variables are those of jq
others='
    def unknown: [.. | booleans] | any; # whether a part of it was
    def id: .address + (.deposed // "");

    # Whether a value is as it was reviewed. A list of which something was unknown is not compared: as a set, it may be in
    # another order now.
    def same($reviewed; $unknown):
        if $unknown == true then true
        elif ($reviewed | type) == "object" and type == "object" then
            . as $value
            | [$reviewed, $value] | map(keys) | add | unique
            | all(.[]; . as $name | $value[$name] | same($reviewed[$name]; ($unknown // {})[$name]))
        else ($unknown | unknown) or . == $reviewed
        end;

    ([$reviewed[0].resource_changes[]?] | INDEX(id)) as $planned
    | $again[0].resource_changes[]?
    | select(.mode == "managed" and .change.actions != ["no-op"])
    | .address as $address
    | .change as $now
    | ($planned[id].change // {actions: [], after: null}) as $was
    | ($now.actions == ["update"]) as $updated
    | (if $updated then $was.after != null
       else $now.actions == $was.actions
           or ($now.actions == ["create"] and any($was.actions[]; . == "create"))
           # What was made only in part is made anew.
           or (.action_reason == "replace_because_tainted" and $was.actions == ["create"])
       end) as $expected
    | if $expected | not then "\($address): \($now.actions | join(", then "))"
      elif $now.after == null then empty
      else
        [$now.after, $now.after_unknown] | map(keys) | add | unique[]
        | . as $name
        | select(($updated | not) or $now.before[$name] != $now.after[$name] or ($now.after_unknown[$name] | unknown))
        | select($now.after[$name] | same($was.after[$name]; $was.after_unknown[$name]) | not)
        | "\($address): \($name)"
      end
'
found=$(jq --null-input --raw-output --slurpfile reviewed reviewed.json --slurpfile again again.json "$others")
if [ -n "$found" ]; then
    {
        echo "Nothing more was applied: this would change what was not reviewed, or in another way."
        echo "$found"
        echo "Run the job Plan again, and review what it shows."
    } >&2
    exit 1
fi
"$scripts/apply_plan.sh" again.tfplan
