#!/usr/bin/env bash
# Give an image of the repository one more tag, without pulling it.
#
# Usage: tag_image.sh IMAGE TAG
#   IMAGE  the image, by its digest
#   TAG    the tag, which no image may have yet
set -euo pipefail

image=$1 tag=$2
digest=${image#*@}

# As it was pushed: an index, if it has an attestation of how it was built.
found=$(aws ecr batch-get-image --repository-name totes_dagster --image-ids imageDigest="$digest" --output json \
    --accepted-media-types application/vnd.oci.image.index.v1+json application/vnd.oci.image.manifest.v1+json \
    application/vnd.docker.distribution.manifest.list.v2+json application/vnd.docker.distribution.manifest.v2+json)
if ! type=$(jq --exit-status --raw-output '.images[0].imageManifestMediaType' <<< "$found"); then
    echo "The repository does not have $digest: $(jq --compact-output '.failures' <<< "$found")" >&2
    exit 1
fi
# The digest makes sure that it is the same image, to the byte.
aws ecr put-image --repository-name totes_dagster --image-tag "$tag" --image-digest "$digest" \
    --image-manifest-media-type "$type" --image-manifest "$(jq --join-output '.images[0].imageManifest' <<< "$found")" > /dev/null
echo "$digest is $tag"
