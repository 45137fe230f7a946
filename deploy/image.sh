#!/bin/sh
# Builds the image of deploy/Containerfile with buildah, also within a container: it needs no
# namespaces. Without BASE, it makes one by debootstrap from the mirror that apt uses (as root).
set -eu
cd "$(dirname "$0")/.."
export BUILDAH_ISOLATION=chroot

if [ -z "${BASE:-}" ]; then
    BASE=localhost/shared-reports-base
    if ! buildah inspect --type image "$BASE" >/dev/null 2>&1; then
        folder=$(mktemp -d)
        trap 'rm -rf "$folder"' EXIT
        mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)
        suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
        debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv \
            "$suite" "$folder/root" "$mirror" >"$folder/log" || { tail "$folder/log"; exit 1; }
        rm -rf "$folder"/root/var/cache/apt/archives/*.deb "$folder"/root/var/lib/apt/lists/* \
            "$folder/root/etc/apt/sources.list"
        container=$(buildah from scratch)
        buildah add --quiet "$container" "$folder/root" / >/dev/null
        buildah commit --quiet --rm "$container" "$BASE" >/dev/null
    fi
fi

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' service/__init__.py)
set -- --build-arg "BASE=$BASE" --build-arg "VERSION=$version" \
    --build-arg "REVISION=$(git rev-parse HEAD)"
if [ -n "${PIP_INDEX_URL:-}" ]; then
    set -- "$@" --build-arg "PIP_INDEX_URL=$PIP_INDEX_URL"
fi
if [ -n "${PIP_CERT:-}" ]; then # an index whose authority the base does not know
    set -- "$@" --volume "$PIP_CERT:/run/pip-cert.pem:ro" --build-arg PIP_CERT=/run/pip-cert.pem
fi
buildah build --quiet --format docker --file deploy/Containerfile --tag shared-reports "$@" .
