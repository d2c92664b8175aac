#!/usr/bin/env bash
# Downloads Debian's PgBouncer into the cache and prints the path of its program, for tests. It is not
# installed, because the package would start a service. The libraries that it needs are beside it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

folder=$cache/pgbouncer
if [[ ! -x $folder/pgbouncer ]]; then
  for program in apt-get dpkg-deb; do
    command -v "$program" >/dev/null ||
      die "PgBouncer comes from Debian's packages, and $program is missing" "Tests behind PgBouncer will not run."
  done
  part=$cache/pgbouncer.part
  rm -rf "$part" && mkdir -p "$part/root"
  say "downloading pgbouncer"
  (cd "$part" && apt-get download -qq pgbouncer libevent-2.1-7 libc-ares2 >&2) ||
    die "cannot download PgBouncer" "Run apt-get update, and then this again."
  for package in "$part"/*.deb; do dpkg-deb --extract "$package" "$part/root"; done
  cp "$part/root/usr/sbin/pgbouncer" "$part"/root/usr/lib/*/lib{cares,event}*.so* "$part/"
  rm -r "$part/root" "$part"/*.deb
  rm -rf "$folder" && mv "$part" "$folder"
fi
echo "$folder/pgbouncer"
