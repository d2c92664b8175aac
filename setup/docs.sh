#!/usr/bin/env bash
# Builds the documentation as a site in .ragstone/site, where broken links are errors, and checks the reference and the
# queries for monitoring against a server made for it. Ragstone must be installed for that.
#
# usage: docs.sh          both
#        docs.sh site     the site alone
#        docs.sh check    the checks alone
#        docs.sh write    puts signatures and outputs into the reference, to be read over
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

site() {
  local python drawing
  python=$("$here/venv.sh" docs "$root/docs/requirements.txt")
  # Byte for byte mermaid's own dist/mermaid.min.js of that version.
  drawing=$(wheel artoo-mermaid==11.16.0 fa6d2c8c0fbc4be09a456bfdd62f92eb85e44299a02460b1f4fd4f200a19f01d)
  mkdir -p "$cache/mermaid"
  "$python" "$here/unpack.py" --help >/dev/null 2>&1 || true
  unzip -o -q -j "$drawing" artoo_mermaid/assets/mermaid.min.js -d "$cache/mermaid"
  cd "$root"
  RAGSTONE_MERMAID=$cache/mermaid/mermaid.min.js NO_MKDOCS_2_WARNING=1 "$python" -m mkdocs build --quiet
  say "the documentation is in $root/.ragstone/site/index.html"
}

check() {
  local exports status=0
  folder=$(mktemp --directory)
  chmod 755 "$folder"
  trap '"$here/cluster.sh" stop "$folder" && rm -rf "$(readlink --canonicalize "$folder/cluster")" "$folder"' EXIT
  exports=$("$here/cluster.sh" start "$folder" fsync=off)
  eval "$exports"
  python3 "$here/reference.py" "$@" "$(pg bindir)/psql" "$(pg sharedir)/errcodes.txt" || status=1
  [[ $* == *--write* ]] || python3 "$here/monitoring.py" "$(pg bindir)/psql" || status=1
  return "$status"
}

case ${1:-all} in
  all) site && check ;;
  site) site ;;
  check) check ;;
  write) check --write ;;
  *) die "expected site, check or write, not $1" ;;
esac
