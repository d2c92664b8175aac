#!/usr/bin/env bash
# Builds the documentation as a site in .ragstone/site, where broken links are errors, and checks the reference, the
# tutorial and the queries for monitoring against a server created for this. The checks need an installed Ragstone.
#
# usage: docs.sh          both
#        docs.sh site     the site only
#        docs.sh check    the checks only
#        docs.sh write    writes signatures and outputs into the reference, to be reviewed
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

site() {
  local python drawing links
  python=$("$here/venv.sh" docs "$root/docs/requirements.txt")
  # Byte for byte the same as mermaid's own dist/mermaid.min.js of this version.
  drawing=$(wheel artoo-mermaid==11.16.0 fa6d2c8c0fbc4be09a456bfdd62f92eb85e44299a02460b1f4fd4f200a19f01d)
  "$python" "$here/unpack.py" "$drawing" "$cache/mermaid" artoo_mermaid/assets/mermaid.min.js
  cd "$root"
  # Without --quiet, with which strict mode would report nothing.
  links=$(RAGSTONE_MERMAID=$cache/mermaid/mermaid.min.js NO_MKDOCS_2_WARNING=1 "$python" -m mkdocs build)
  echo "docs result: site ok. $links"
  say "the documentation is in $root/.ragstone/site/index.html; for its search it wants to be served:" \
    "python3 -m http.server --directory .ragstone/site"
}

# The reader's browser draws the diagrams, so a browser without access to any host checks that they can be
# drawn.
diagrams() {
  local page wanted drawn total=0 browser
  browser=$(command -v chromium) || { echo "not run: drawing the diagrams, for which chromium is missing" && return; }
  while read -r page; do
    wanted=$(grep --count --fixed-strings '<pre class="mermaid">' "$page")
    "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$folder/browser" --host-resolver-rules='MAP * ~NOTFOUND' \
      --virtual-time-budget=20000 --dump-dom "file://$page" >"$folder/page" 2>/dev/null || true
    drawn=$({ grep --only-matching --fixed-strings '<div class="mermaid"' "$folder/page" || true; } | wc --lines)
    ((drawn == wanted)) || die "$drawn of $wanted diagrams of $page are drawn"
    total=$((total + drawn))
  done < <(grep --files-with-matches --recursive --include='*.html' --fixed-strings '<pre class="mermaid">' "$root/.ragstone/site")
  echo "docs result: diagrams ok. $total drawn"
}

tutorial() {
  local python
  sed '/^# requirements.txt$/,/^[^a-z#]/!d; /^[^a-z]/d' "$root/docs/tutorial.md" |
    sed "s|/path/to/ragstone|$root|" >"$folder/requirements.txt"
  python=$("$here/venv.sh" tutorial "$folder/requirements.txt") || return
  # The environment is kept while its versions stay, but the package may have changed.
  "$python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$root/examples/django/ragstone" || return
  python3 "$here/tutorial.py" "$(pg bindir)/psql" "$python"
}

check() {
  local exports status=0
  [[ -e $(pg pkglibdir)/ragstone.so ]] || die "Ragstone is not installed" "Run make install first, or build the site alone: setup/docs.sh site"
  # Some examples and queries depend on the current date in UTC, so they are not started within five minutes
  # of midnight.
  local left=$((86400 - EPOCHSECONDS % 86400))
  ((left > 300)) || sleep "$left"
  exports=$("$here/cluster.sh" start "$folder" fsync=off)
  eval "$exports"
  python3 "$here/reference.py" "$@" "$(pg bindir)/psql" "$(pg sharedir)/errcodes.txt" || status=1
  [[ $* == *--write* ]] || tutorial || status=1
  [[ $* == *--write* ]] || "$("$here/venv.sh" docs "$root/docs/requirements.txt")" "$here/monitoring.py" "$(pg bindir)/psql" || status=1
  return "$status"
}

folder=$(mktemp --directory)
chmod 755 "$folder"
clean_up() {
  [[ ! -e $folder/cluster ]] || { "$here/cluster.sh" stop "$folder" && rm -rf "$(readlink --canonicalize "$folder/cluster")"; }
  rm -rf "$folder"
}
trap clean_up EXIT
# One by one: in a list with && a function continues after a failure.
case ${1:-all} in
  all)
    site
    diagrams
    check
    ;;
  site)
    site
    diagrams
    ;;
  check) check ;;
  write) check --write ;;
  *) die "expected site, check or write, not $1" ;;
esac
