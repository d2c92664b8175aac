#!/usr/bin/env bash
# Runs the tests of examples/django in a server made for them. Ragstone must be installed.
# usage: djangocheck.sh [pytest's arguments...]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

folder=$(mktemp --directory)
chmod 755 "$folder"
clean_up() { "$here/cluster.sh" stop "$folder" && rm -rf "$(readlink --canonicalize "$folder/cluster")" "$folder"; }
trap clean_up EXIT
exports=$("$here/cluster.sh" start "$folder" fsync=off)
eval "$exports"
python=$("$here/venv.sh" django-python "$root/examples/django/requirements.txt")
cd "$root/examples/django"
"$python" -m pytest "$@"
