#!/bin/sh
# Installs the named Debian packages that are missing: by itself as root, otherwise it says what to run.
set -eu
missing=""
for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "install ok installed" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
    echo "Not root, so these are not installed:$missing. Tests that need them are skipped."
    echo "To run them too: sudo apt-get install -y$missing"
    exit 0
fi
command -v apt-get >/dev/null || { echo "No apt-get here; install by hand:$missing"; exit 0; }
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086  # the list is words on purpose
apt-get install -y -qq --no-install-recommends $missing >/dev/null
