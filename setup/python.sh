#!/usr/bin/env bash
# Creates a separate Python environment with pip in the cache, and prints the path of its python.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

python=$cache/python/bin/python
if ! "$python" -m pip --version >/dev/null 2>&1; then
  for candidate in python3 /usr/bin/python3; do
    rm -rf "$cache/python"
    "$candidate" -m venv "$cache/python" >/dev/null 2>&1 && break
  done
  "$python" -m pip --version >/dev/null 2>&1 || die "python3 with venv is missing" "Install the package python3-venv."
fi
echo "$python"
