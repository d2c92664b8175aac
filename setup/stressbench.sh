#!/usr/bin/env bash
# Puts 50, 200 and 500 users before the Django application, and before a plain-Python version of it, and keeps what was
# measured as JSON. Ragstone must be installed. usage: stressbench.sh [--quick]   (quick: 5 users, kept nowhere)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

manual=${RAGSTONE_MANUAL_HTML:-/usr/share/doc/postgresql-doc-15/html}
python=$("$here/venv.sh" stress-python "$root/benches/stress/requirements.txt")
folder=$(mktemp --directory)
chmod 755 "$folder"
trap '"$here/cluster.sh" stop "$folder" && rm -rf "$(readlink --canonicalize "$folder/cluster")" "$folder"' EXIT
# A connection for each thread of the web server, and for what runs beside it. Workers as docs/reference.md counts them.
exports=$("$here/cluster.sh" start "$folder" max_connections=200 max_worker_processes=16 rag.max_job_workers_per_role=4)
eval "$exports"
python3 "$here/manual.py" "$manual" >"$folder/pages.csv"

results=$root/docs/benchmarks
[[ ${1:-} != --quick ]] || results=$folder
mkdir -p "$results"
"$python" "$root/benches/stress/run.py" "$folder/pages.csv" "$(pg sharedir)/ragstone/models/all-MiniLM-L6-v2" "$results/stress.json" "$@"
