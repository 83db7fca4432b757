#!/bin/sh
# Installs the package in a fresh minimal Debian 12 folder, uses it, and purges it again.
# Needs root and debootstrap (apt-get install debootstrap): packaging/test_deb.sh dist/baywatt_*.deb
set -eu

deb=$(realpath "$1")
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)}
root=$(mktemp -d /var/tmp/baywatt-deb-test.XXXXXX)
trap 'rm -rf "$root" "$root.log"' EXIT
chmod 0755 "$root"

inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }
say() { printf '== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
# Everything on disk but what dpkg, apt and ldconfig note for themselves.
listing() { (cd "$root" && find . -xdev \( -path ./var/cache -o -path ./var/lib/dpkg -o -path ./var/lib/apt -o -path ./var/log -o -path ./run -o -path ./tmp \) -prune -o -print | sort); }

say "a minimal Debian 12"
debootstrap --variant=minbase --include=python3,adduser bookworm "$root" "$mirror" >"$root.log" 2>&1 ||
    { tail -n 5 "$root.log" >&2; fail "debootstrap"; }
cp "$deb" "$root/tmp/baywatt.deb"
listing >"$root/tmp/before"

say "install"
inside dpkg -i /tmp/baywatt.deb
[ "$(inside stat -c '%U:%G %a' /etc/baywatt/credentials)" = 'root:baywatt 750' ] || fail "credentials folder"
[ "$(inside stat -c '%U:%G %a' /var/lib/baywatt)" = 'baywatt:baywatt 750' ] || fail "data folder"
inside id -nG baywatt | grep -qw dialout || fail "baywatt is not in dialout"

say "use, as the daemon's own user"
as() { inside setpriv --reuid=baywatt --regid=baywatt --init-groups "$@"; }
example=/usr/share/doc/baywatt/examples/harbour/site.toml
as baywatt --help >/dev/null
as baywatt --version
as baywatt check "$example"
[ "$(as baywatt check "$example" --json)" = '{"ok": true, "problems": []}' ] || fail "check --json"
as baywatt status 2>/dev/null && fail "status without a daemon succeeded" || [ $? -eq 3 ] || fail "status: not code 3"
inside sh -c "sed 's/fail_safe_a = 6/fail_safe_a = 60/' $example >/tmp/bad.toml"
as baywatt check /tmp/bad.toml >/dev/null && fail "a bad site file passed" || [ $? -eq 1 ] || fail "check: not code 1"
as /opt/baywatt/bin/python3 - <<'PY'
import importlib.util, pkgutil
import baywatt_bridge, baywatt_contract, baywatt_edge, baywatt_v2g
for package in (baywatt_bridge, baywatt_contract, baywatt_edge, baywatt_v2g):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
strangers = [n for n in ("baywatt_cloud", "baywatt_sim", "fastapi", "pip") if importlib.util.find_spec(n)]
assert not strangers, strangers
PY
[ -z "$(find "$root/opt/baywatt" -newer "$root/tmp/before" -name '*.pyc')" ] || fail "bytecode was written"

say "upgrade keeps the settings"
echo 'BAYWATT_LOG_LEVEL=debug' >"$root/etc/baywatt/baywatt.env"
echo kept >"$root/etc/baywatt/site.toml"
inside dpkg -i --force-confold /tmp/baywatt.deb >/dev/null
grep -q debug "$root/etc/baywatt/baywatt.env" || fail "the upgrade overwrote a setting"

say "purge leaves only data"
echo journal >"$root/var/lib/baywatt/journal.db"
inside dpkg --purge baywatt
rm "$root/tmp/baywatt.deb" "$root/tmp/bad.toml"
listing >"$root/tmp/after"
# adduser keeps the old copies of the user databases as NAME-.
left=$(diff "$root/tmp/before" "$root/tmp/after" | grep '^[<>]' | grep -vE '^> \./(var/lib/baywatt(/journal\.db)?|etc/(passwd|group|shadow|gshadow|subuid|subgid)-)$' || true)
[ -z "$left" ] || fail "left behind or missing: $left"
[ -f "$root/var/lib/baywatt/journal.db" ] || fail "purge removed the data"

say "passed"
