#!/usr/bin/env bash
# Creates a Python environment in the cache with the packages of a requirements file, again if that file has changed,
# and prints the path of its python. Concurrent calls for the same environment wait for each other.
# usage: venv.sh name requirements.txt [python]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

environment=$cache/$1 wanted=$2
exec 9>"$environment.lock"
flock 9
if ! cmp --quiet "$wanted" "$environment/requirements.txt"; then
  rm -rf "$environment"
  "${3:-$("$here/python.sh")}" -m venv "$environment"
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted" >&2
  cp "$wanted" "$environment/"
fi
echo "$environment/bin/python"
