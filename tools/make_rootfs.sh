#!/bin/sh
# Makes the root file system in folder $1 with which the tests boot nodes: Debian 12 with systemd and Python, and nothing of ours.
set -eu
rootfs=$1
want="systemd,systemd-sysv,dbus,python3,iproute2,procps"
[ "$(cat "$rootfs.made" 2>/dev/null)" = "$want" ] && [ -x "$rootfs/sbin/init" ] && exit 0
mkdir -p "$(dirname "$rootfs")"
new=$(mktemp -d "$rootfs.XXXXXX")
trap 'rm -rf "$new"' EXIT
mmdebstrap --quiet --variant=minbase --dpkgopt=path-exclude=/usr/share/doc/* --dpkgopt=path-exclude=/usr/share/man/* \
    --include="$want" bookworm "$new"
rm -rf "$rootfs"
mv -T "$new" "$rootfs"
echo "$want" >"$rootfs.made"
