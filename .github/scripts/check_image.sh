#!/usr/bin/env bash
# Wait until ECR has scanned an image, and fail if the scan found a vulnerability that must not be deployed: a critical one,
# or a high one of which the scan says that there is a fix. Basic scanning does not say so; enhanced scanning does.
#
# Usage: check_image.sh IMAGE ACCEPTED
#   IMAGE     the image, by its digest
#   ACCEPTED  JSON file with vulnerabilities that are accepted, each until a date:
#             [{"id": "CVE-2026-1234", "until": "2026-12-31", "reason": "…"}]
set -euo pipefail

image=$1 accepted=$2
digest=${image#*@}
today=$(date --utc +%Y-%m-%d)
log=$(mktemp)
trap 'rm "$log"' EXIT

# A mistake in the file must not accept anything. A date far away is as good as none.
jq --exit-status --arg latest "$(date --utc --date='120 days' +%Y-%m-%d)" 'type == "array" and all(.[];
    (.id | test("^[A-Z]+-[0-9A-Za-z-]+$")) and (.reason | length > 10)
    and (.until | test("^[0-9]{4}-[0-9]{2}-[0-9]{2}$")) and .until <= $latest)' "$accepted" > /dev/null || {
    echo "$accepted: each entry needs an id, a reason, and in until a date that is no more than 120 days away." >&2
    exit 1
}

# An index cannot be scanned, only the images that it lists: one for each platform. Attestations are not for any.
found=$(aws ecr batch-get-image --repository-name totes_dagster --image-ids imageDigest="$digest" --output json \
    --accepted-media-types application/vnd.oci.image.index.v1+json application/vnd.oci.image.manifest.v1+json \
    application/vnd.docker.distribution.manifest.list.v2+json application/vnd.docker.distribution.manifest.v2+json)
mapfile -t digests < <(jq --raw-output --arg digest "$digest" '.images[0].imageManifest // "null" | fromjson
    | if . == null then empty elif .manifests then .manifests[] | select(.platform.os != "unknown").digest else $digest end' <<< "$found")
if [ "${#digests[@]}" = 0 ]; then
    echo "The repository has no image $digest: $(jq --compact-output '.failures' <<< "$found")" >&2
    exit 1
fi

# `aws ecr wait image-scan-complete` gives up after five minutes, and knows nothing of enhanced scanning, whose scans go on.
scan() {
    local started=no scanned status
    until scanned=$(aws ecr describe-image-scan-findings --repository-name totes_dagster --image-id imageDigest="$1" --output json \
        2> "$log") && jq --exit-status '.imageScanStatus.status == "COMPLETE"
            or (.imageScanStatus.status == "ACTIVE" and .imageScanFindings.imageScanCompletedAt != null)' <<< "$scanned" > /dev/null; do
        status=$(jq --raw-output '.imageScanStatus.status // empty' <<< "$scanned")
        case "$status" in
            PENDING | IN_PROGRESS | ACTIVE) ;;
            "")
                if ! grep --quiet ScanNotFoundException "$log"; then
                    cat "$log" >&2
                    return 1
                fi
                # Usually it was started by the push, and takes a while to appear. Once a day it can be started by hand.
                if [ "$started" = no ]; then
                    aws ecr start-image-scan --repository-name totes_dagster --image-id imageDigest="$1" > /dev/null 2>> "$log" || true
                    started=yes
                fi
                ;;
            *)
                echo "$1 was not scanned: $(jq --raw-output '.imageScanStatus | "\(.status): \(.description)"' <<< "$scanned")" >&2
                return 1
                ;;
        esac
        if [ "$SECONDS" -ge "${SCAN_TIMEOUT:-900}" ]; then
            echo "$1 was not scanned in time: ${status:-$(cat "$log")}" >&2
            return 1
        fi
        sleep "${SCAN_POLL_SECONDS:-5}"
    done
    # Both kinds of scanning, in one form.
    jq --compact-output '.imageScanFindings
        | [.findings[]? | {
            id: .name,
            severity,
            fix: "unknown",
            packages: ((.attributes // []) | from_entries | "\(.package_name) \(.package_version)")
        }]
        + [.enhancedFindings[]? | {
            id: .packageVulnerabilityDetails.vulnerabilityId,
            severity,
            fix: .fixAvailable,
            packages: ([.packageVulnerabilityDetails.vulnerablePackages[]? | "\(.name) \(.version)"] | join(", "))
        }]' <<< "$scanned"
}

findings=
for each in "${digests[@]}"; do
    findings+=$(scan "$each")
done

report=$(jq --slurp --arg today "$today" --slurpfile accepted "$accepted" '
    add | unique
    | map(. as $finding
        | ([$accepted[0][] | select(.id == $finding.id)] | max_by(.until)) as $entry
        | .blocks = (.severity == "CRITICAL" or (.severity == "HIGH" and (.fix == "YES" or .fix == "PARTIAL")))
        | .until = $entry.until
        | .deployable = ((.blocks | not) or (.until != null and .until >= $today)))' <<< "$findings")

jq --raw-output 'group_by(.severity) | map("\(length) \(.[0].severity)") | "Found: " + (if . == [] then "nothing" else join(", ") end) + "."' \
    <<< "$report"
jq --raw-output '.[] | select(.blocks)
    | "\(.severity) \(.id) in \(.packages); fix: \(.fix)" + (if .until then "; accepted until \(.until)" else "" end)' <<< "$report"
if ! jq --exit-status 'all(.[]; .deployable)' <<< "$report" > /dev/null; then
    echo "The image is not deployed. Update what is vulnerable; if there is nothing to update to, and it does no harm here," \
        "accept it in $accepted until a date." >&2
    exit 1
fi
