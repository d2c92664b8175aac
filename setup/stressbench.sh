#!/usr/bin/env bash
# Simulates 50, 200 and 500 users of the Django application, and of a plain-Python version of it, and stores the results
# as JSON. Ragstone must be installed. usage: stressbench.sh [--quick]   (quick: 5 users, results are not stored)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

manual=${RAGSTONE_MANUAL_HTML:-/usr/share/doc/postgresql-doc-15/html}
python=$("$here/venv.sh" stress-python "$root/benches/stress/requirements.txt")
folder=$(mktemp --directory)
chmod 755 "$folder"
trap '"$here/cluster.sh" stop "$folder" && rm -rf "$(readlink --canonicalize "$folder/cluster")" "$folder"' EXIT
# A connection for each thread of the web server, and for the programs that run beside it. docs/production.md
# has the formula for the number of workers.
exports=$("$here/cluster.sh" start "$folder" max_connections=200 max_worker_processes=16 rag.max_job_workers_per_role=4)
eval "$exports"
python3 "$here/manual.py" "$manual" >"$folder/pages.csv"

results=$root/docs/benchmarks
[[ ${1:-} != --quick ]] || results=$folder
mkdir -p "$results"
"$python" "$root/benches/stress/run.py" "$folder/pages.csv" "$(pg sharedir)/ragstone/models/all-MiniLM-L6-v2" "$results/stress.json" "$@"
