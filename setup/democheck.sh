#!/usr/bin/env bash
# Runs the demo twice, over a part of the manual, the second time within seconds, and leaves its server as it was: running or not.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Chapters that the questions of the examples are about. The whole manual takes minutes on two processors.
chapters='^(app-pg|backup|continuous-archiving|indexes|mvcc|routine-vacuuming|runtime-config|sql-copy|transaction-iso|using-explain|wal)'
manual=${RAGSTONE_MANUAL_HTML:-/usr/share/doc/postgresql-doc-15/html}

# The demo installs the manual where it is missing, which is before it makes anything of it.
"$here/packages.sh"
export RAGSTONE_MANUAL_HTML=$root/.ragstone/part-of-the-manual
mkdir -p "$RAGSTONE_MANUAL_HTML"
find "$manual" -maxdepth 1 -name '*.html' -printf '%f\n' | grep -E "$chapters" | while read -r page; do
  ln --symbolic --force "$manual/$page" "$RAGSTONE_MANUAL_HTML/$page"
done

[[ -e $root/.ragstone/env ]] || trap '"$here/stop.sh"' EXIT
"$here/demo.sh"
SECONDS=0
"$here/demo.sh"
((SECONDS < 60)) || die "the second run of the demo took $SECONDS s, expected less than 60"
