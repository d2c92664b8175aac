#!/usr/bin/env bash
# Runs the demo twice, over a part of the manual and in a database of its own; the second run must neither compile
# nor index anything. The server is left running or stopped, as it was before.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The chapters that the questions of the examples need. The whole manual takes minutes on two processors.
chapters='^(app-pg|backup|continuous-archiving|indexes|mvcc|routine-vacuuming|runtime-config|sql-copy|transaction-iso|using-explain|wal)'
manual=${RAGSTONE_MANUAL_HTML:-/usr/share/doc/postgresql-doc-15/html}

# Installs the manual if it is missing.
"$here/packages.sh"
export RAGSTONE_DEMO=democheck
export RAGSTONE_MANUAL_HTML=$root/.ragstone/part-of-the-manual
rm -rf "$RAGSTONE_MANUAL_HTML"
mkdir -p "$RAGSTONE_MANUAL_HTML"
find "$manual" -maxdepth 1 -name '*.html' -printf '%f\n' | grep -E "$chapters" | while read -r page; do
  ln --symbolic --force "$manual/$page" "$RAGSTONE_MANUAL_HTML/$page"
done

if [[ -e $root/.ragstone/env ]]; then
  cp "$root/.ragstone/env" "$root/.ragstone/env.before"
  trap 'mv "$root/.ragstone/env.before" "$root/.ragstone/env"' EXIT
else
  trap '"$here/stop.sh"' EXIT
fi
"$here/demo.sh"
second=$("$here/demo.sh" 2>&1 | tee /dev/stderr)
for work in 'Compiling' 'loading the PostgreSQL manual' 'indexing it'; do
  [[ $second != *"$work"* ]] || die "the second run of the demo repeats work of the first one: $work"
done
