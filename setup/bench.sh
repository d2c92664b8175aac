#!/usr/bin/env bash
# Runs each bench once against the installed extension. usage: bench.sh [name...]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cd "$root"
# What the benches compare with, in an environment of its own.
wanted=benches/python/requirements.txt
environment=$cache/bench-python
if [[ -f $wanted ]]; then
  if ! cmp --quiet "$wanted" "$environment/requirements.txt"; then
    rm -rf "$environment"
    "$("$here/python.sh")" -m venv "$environment"
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted"
    cp "$wanted" "$environment/"
  fi
  export RAGSTONE_PYTHON=$environment/bin/python
fi

names=()
for name in "$@"; do names+=(--bench "$name"); done
cargo bench --package ragstone-benches "${names[@]}"
