#!/bin/sh
# The page tests need a real browser: Debian's Chromium, installed once with apt as root.
set -e
if command -v chromium >/dev/null; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "the page tests need Chromium: install the package 'chromium', or run make test as root" >&2
    exit 2
fi
echo "installing Chromium with apt for the page tests"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
