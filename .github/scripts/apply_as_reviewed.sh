#!/usr/bin/env bash
# Plan again, and apply that, but only if it leads to nothing else than a plan that was reviewed: the state has moved on
# since, by steps of the deployment itself, and Terraform takes no plan of an earlier state.
#
# What is changed or created now has to have the reviewed value in the end, as far as both are known, even if it had it
# already then: the deployment itself may have stopped it since. What is replaced or deleted now was to be so then. A value
# that is not known now is made of what is applied along with it, which is compared too. Only names are printed, no values:
# some are secret.
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
    def nothing: . == null or . == "" or . == 0 or . == false or . == [] or . == {};
    def id: .address + (.deposed // "");

    # Whether a value is as it was reviewed, as far as both are known. A list of which something is unknown is not compared:
    # it may be a set, and in another order now. What is not there yet has null where AWS says of the rest that it is empty.
    def same($shown; $unknown_shown; $unknown):
        if $unknown_shown == true or $unknown == true then true
        elif ($shown | type) == "object" and type == "object" then
            . as $value
            | [$shown, $value] | map(keys) | add | unique
            | all(.[]; . as $name | $value[$name]
                | same($shown[$name]; ($unknown_shown // {})[$name]; ($unknown // {})[$name]))
        else . == $shown or (nothing and ($shown | nothing)) or ($unknown_shown | unknown) or ($unknown | unknown)
        end;

    ([$reviewed[0].resource_changes[]?] | INDEX(id)) as $planned
    | $again[0].resource_changes[]?
    | select(.mode == "managed" and .change.actions != ["no-op"])
    | .address as $address
    | .change as $now
    | ($planned[id].change // {actions: [], after: null}) as $was
    | (if $now.actions == ["update"] or $now.actions == ["create"] then $was.after != null
       else $now.actions == $was.actions
           # What was made only in part is made anew.
           or (.action_reason == "replace_because_tainted" and $was.actions == ["create"])
       end) as $expected
    | if $expected | not then "\($address): \($now.actions | join(", then "))"
      elif $now.after == null then empty
      else
        $now.after | keys[]
        | . as $name
        | select($now.actions != ["update"] or $now.before[$name] != $now.after[$name])
        | select($now.after[$name] | same($was.after[$name]; $was.after_unknown[$name]; $now.after_unknown[$name]) | not)
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
