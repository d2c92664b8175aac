#!/usr/bin/env bash
# Runs the benches against the installed extension. Arguments go to cargo bench: `--bench speed` runs one of them,
# `-- --test` runs each function once without measuring it long.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cd "$root"
# What the benches compare with, in an environment of its own; OpenVINO's build of ONNX Runtime has the same name as the
# plain one, so it has a folder of its own as well.
wanted=benches/python/requirements.txt
environment=$cache/bench-python
if ! cmp --quiet "$wanted" "$environment/requirements.txt"; then
  rm -rf "$environment"
  "$("$here/python.sh")" -m venv "$environment"
  pip=("$environment/bin/python" -m pip install --quiet --disable-pip-version-check)
  "${pip[@]}" --requirement "$wanted"
  if [[ -d $cache/ort/openvino ]]; then
    "${pip[@]}" --no-deps --target "$environment/openvino" onnxruntime-openvino==1.24.1 ||
      say "OpenVINO for Python could not be installed, benches compare without it"
  fi
  cp "$wanted" "$environment/"
fi
export RAGSTONE_PYTHON=$environment/bin/python
[[ ! -d $environment/openvino ]] || export RAGSTONE_PYTHON_OPENVINO=$environment/openvino

PG_CONFIG=$(pg_config_path)
export PG_CONFIG
cargo bench --package ragstone-benches "$@"
