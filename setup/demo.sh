#!/usr/bin/env bash
# Runs everything from a fresh machine to answers: installs everything, starts a private server under
# .ragstone/, and makes the PostgreSQL manual searchable. A second run only shows the searches and answers.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

manual=${RAGSTONE_MANUAL_HTML:-/usr/share/doc/postgresql-doc-15/html}
state=$root/.ragstone
database=${RAGSTONE_DEMO:-demo}

"$here/packages.sh"
"$here/pgvector.sh"
"$here/install.sh"
[[ -d $manual ]] || die "the PostgreSQL manual is missing: there is no folder $manual" \
  "Install the package postgresql-doc-15, or name a folder of the manual's HTML pages with RAGSTONE_MANUAL_HTML."

mkdir -p "$state"
RAGSTONE_DATABASE=$database "$here/cluster.sh" start "$state" >"$state/env.part"
mv "$state/env.part" "$state/env"
# shellcheck source=/dev/null
. "$state/env"
export PGOPTIONS=--client-min-messages=warning
psql=("$(pg bindir)/psql" --no-psqlrc --quiet --pset=pager=off --set=ON_ERROR_STOP=1)
ask() { "${psql[@]}" --tuples-only --no-align "$@"; }

# The database is created anew if its inputs have changed. The order of definitions in the SQL file differs
# between builds, so it is sorted.
made_by=$({ echo "$manual" && sort "$(pg sharedir)"/extension/ragstone--*.sql "$here/manual.py" "$root/examples/manual.sql"; } | sha256sum | cut -d' ' -f1)
if [[ $(ask --dbname=postgres --command="SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '$database'") != "$made_by" ]]; then
  say "loading the PostgreSQL manual"
  ask --dbname=postgres --command="DROP DATABASE IF EXISTS $database WITH (FORCE)" --command="CREATE DATABASE $database"
  python3 "$here/manual.py" "$manual" >"$state/pages.csv"
  "${psql[@]}" --file="$root/examples/pages.sql" <"$state/pages.csv"
  rm "$state/pages.csv"
  say "indexing it"
  "${psql[@]}" --file="$root/examples/manual.sql" &
  trap 'kill $! 2>/dev/null' EXIT
  "$here/progress.sh" manual $!
  wait $!
  trap - EXIT
  ask --command="COMMENT ON DATABASE $database IS '$made_by'"
fi

"${psql[@]}" --file="$root/examples/search.sql"
"${psql[@]}" --file="$root/examples/ask.sql"
cat <<END

The server is running; make stop ends it. To ask it more:

  . .ragstone/env
  $(pg bindir)/psql

  SELECT rank, title, content FROM rag.search('manual', 'how do I take a base backup?', k => 5);
  SELECT answer, citations FROM rag.ask('manual', 'how do I take a base backup?');
END
