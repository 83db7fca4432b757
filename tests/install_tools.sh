#!/bin/sh
# What the tests need beside Python: Debian's Chromium for the pages, systemd-analyze for the units.
# Installed once with apt as root; PostgreSQL comes as a wheel.
set -e
missing=""
command -v chromium >/dev/null || missing="$missing chromium fonts-dejavu-core"
command -v systemd-analyze >/dev/null || missing="$missing systemd"
if [ -z "$missing" ]; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "the tests need these Debian packages:$missing (install them, or run make test as root)" >&2
    exit 2
fi
echo "installing with apt for the tests:$missing"
apt-get update -qq
# shellcheck disable=SC2086 - a list of packages
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
