#!/bin/bash
# Image $IMAGE: the node image $FROM with images in its containerd. $PRELOAD has a line for each: the image as the
# engine knows it, then further names it gets in the node.
# The images are unpacked and their archives dropped: a node that starts has nothing to unpack and half as much to copy.
set -euo pipefail
run=(docker run --network none)
# containerd cannot unpack onto the overlay file system of a container: it gets a volume.
node=$("${run[@]}" --detach --privileged --volume /var/lib/containerd --entrypoint sleep "$FROM" infinity)
result=
trap 'docker rm --force --volumes "$node" $result > /dev/null' EXIT
ctr() { docker exec --interactive "$node" ctr --namespace k8s.io "$@"; }

docker exec "$node" touch /run/before
docker exec --detach "$node" containerd
for _ in $(seq 150); do ctr version > /dev/null 2>&1 && break; sleep 0.2; done
mapfile -t images < <(awk '{print $1}' <<< "$PRELOAD")
docker save "${images[@]}" | ctr images import --all-platforms -
while read -r image names; do
  [[ -z "$names" ]] || ctr images tag --force "$image" $names < /dev/null
done <<< "$PRELOAD"
# From now on only manifests and configurations are read.
mapfile -t layers < <(ctr content ls < /dev/null | awk '/containerd.io\/uncompressed=/ {print $1}')
ctr content rm "${layers[@]}" < /dev/null > /dev/null
docker exec "$node" sh -c 'kill $(pidof containerd); while pidof containerd; do sleep 0.1; done' > /dev/null

result=$("${run[@]/run/create}" --interactive --entrypoint tar "$FROM" --xattrs --xattrs-include='*' -xpf - -C /)
docker exec "$node" sh -c 'cd / && find var/lib/containerd -cnewer /run/before -print0 |
  tar --null --no-recursion --xattrs --xattrs-include="*" -T - -cf -' | docker start --attach --interactive "$result"
docker commit --change 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]' --change 'CMD []' "$result" "$IMAGE"
