#!/usr/bin/env bash
# Times Ragstone and the usual Python stack on the same data, stores the results as JSON and plots them.
# usage: stackbench.sh [--quick]   (quick: little data, results are not stored)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

manual=${RAGSTONE_MANUAL_HTML:-/usr/share/doc/postgresql-doc-15/html}
python=$("$here/venv.sh" stack-python "$root/benches/stack/requirements.txt")
folder=$(mktemp --directory)
chmod 755 "$folder"
trap '"$here/cluster.sh" stop "$folder" && rm -rf "$(readlink --canonicalize "$folder/cluster")" "$folder"' EXIT
exports=$("$here/cluster.sh" start "$folder")
eval "$exports"
python3 "$here/manual.py" "$manual" >"$folder/pages.csv"

results=$root/docs/benchmarks drawing=$root/docs/benchmarks
mkdir -p "$results"
[[ ${1:-} != --quick ]] || results=$folder drawing=$folder
"$python" "$root/benches/stack/run.py" "$folder/pages.csv" "$(pg sharedir)/ragstone/models/all-MiniLM-L6-v2" "$results/stack.json" "$@"
"$python" "$root/benches/stack/plot.py" "$results/stack.json" "$drawing/stack.svg"
