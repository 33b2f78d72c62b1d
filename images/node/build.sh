#!/bin/bash
# Image $IMAGE: a kind node with the Kubernetes in $KUBERNETES, kind's own files from $KIND and ours, no images in it yet.
set -euo pipefail
root=$WORK/root
mkdir "$root"
cp -r "$KIND/base/." "$root/"
rm -rf "$root/LICENSES"
find "$root" -type f -exec chmod 644 {} + && chmod 755 "$root"/usr/local/bin/* "$root"/kind/bin/*
cp -r "$HERE/files/." "$root/"
find "$root" -type d -exec chmod 755 {} +
install -D -m 755 "$KUBERNETES/kubernetes" "$root/usr/bin/kubernetes"
echo "$KUBERNETES_VERSION" > "$root/kind/version"
sed -i 's#/usr/local/bin/containerd$#/usr/bin/containerd#' "$root/etc/systemd/system/containerd.service"
# Without restrict_oom_score_adj no pod starts where root may not lower the score.
sed -i -e "s#registry.k8s.io/pause:[0-9.]*#registry.k8s.io/pause:$PAUSE_VERSION#" \
  -e 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' "$root/etc/containerd/config.toml"
docker build --quiet --build-arg "DEBIAN_NODE=$DEBIAN_NODE" --tag "$IMAGE" --file "$HERE/Dockerfile" "$WORK"
