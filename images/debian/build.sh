#!/bin/bash
# Makes a Debian root file system ($DEBIAN, e.g. bookworm) with $PACKAGES and little else, and imports it as image $IMAGE.
set -euo pipefail
mmdebstrap --quiet --variant=minbase --include="$PACKAGES" --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' "$DEBIAN" "$WORK/rootfs.tar"
docker import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' "$WORK/rootfs.tar" "$IMAGE"
