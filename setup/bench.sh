#!/usr/bin/env bash
# Runs the benches against the installed extension. Arguments go to cargo bench: `--bench speed` runs one of them,
# `-- --test` runs each function once without a long measurement.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cd "$root"
# The programs for comparison, in an environment of their own; OpenVINO's build of ONNX Runtime has the same
# package name as the plain one, so it has a folder of its own as well.
RAGSTONE_PYTHON=$("$here/venv.sh" bench-python benches/python/requirements.txt)
export RAGSTONE_PYTHON
openvino=$cache/bench-python/openvino
if [[ -d $cache/ort/openvino && ! -d $openvino ]]; then
  if "$RAGSTONE_PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps --target "$openvino.part" onnxruntime-openvino==1.24.1; then
    mv "$openvino.part" "$openvino"
  else
    say "OpenVINO for Python could not be installed, benches compare without it"
  fi
fi
[[ ! -d $openvino ]] || export RAGSTONE_PYTHON_OPENVINO=$openvino

PG_CONFIG=$(pg_config_path)
export PG_CONFIG
cargo bench --package ragstone-benches "$@"
