#!/usr/bin/env bash
# Runs the tests of examples/django, including those in Chromium, on a server created for them. Ragstone must be
# installed.
# usage: djangocheck.sh [pytest's arguments...]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if ! command -v chromium >/dev/null; then
  say "installing chromium"
  as_root apt-get update -qq || say "apt-get update failed, going on with the lists that are there"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends chromium >&2 ||
    say "the tests in a browser are left out: chromium cannot be installed"
fi

folder=$(mktemp --directory)
chmod 755 "$folder"
clean_up() { "$here/cluster.sh" stop "$folder" && rm -rf "$(readlink --canonicalize "$folder/cluster")" "$folder"; }
trap clean_up EXIT
cd "$root/examples/django"
cat requirements.txt requirements-test.txt >"$folder/requirements.txt"
python=$("$here/venv.sh" django-test-python "$folder/requirements.txt")
exports=$("$here/cluster.sh" start "$folder" fsync=off)
eval "$exports"
"$python" -m pytest "$@"
