#!/usr/bin/env bash
# Runs the regression suite of tests/installcheck against the installed extension, with PostgreSQL's own pg_regress, on
# a server created for it. usage: installcheck.sh [test...]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

suite=$root/tests/installcheck
regress=$(dirname "$(pg pgxs)")/../test/regress/pg_regress
[[ -x $regress ]] || die "pg_regress is missing: there is no $regress" "Install postgresql-server-dev-$(pg_major)."
# The test named setup creates the objects that the other tests need.
tests=(setup "$@")
if ((!$#)); then
  for file in "$suite"/sql/*.sql; do
    [[ $file == */setup.sql ]] || tests+=("$(basename "$file" .sql)")
  done
fi

folder=$(mktemp --directory)
chmod 755 "$folder"
trap '"$here/cluster.sh" stop "$folder" && rm -rf "$(readlink --canonicalize "$folder/cluster")" "$folder"' EXIT
exports=$("$here/cluster.sh" start "$folder" fsync=off)
eval "$exports"

"$regress" --bindir="$(pg bindir)" --inputdir="$suite" --outputdir="$folder" --host="$PGHOST" --port="$PGPORT" \
  --user="$PGUSER" --dbname=regression "${tests[@]}" || {
  cat "$folder/regression.diffs" 2>/dev/null || true
  rm -rf "$cache/installcheck" && cp --recursive "$folder/results" "$cache/installcheck"
  die "the regression suite failed" "Its results are in $cache/installcheck."
}
