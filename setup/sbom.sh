#!/usr/bin/env bash
# Writes .ragstone/sbom.cdx.json, a bill of materials, as CycloneDX, of everything that `make install`
# installs: crates, native libraries and the default model, with their licences and checksums.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

"$here/onnxruntime.sh"
"$here/openvino.sh"
"$here/model.sh"
python=$("$here/venv.sh" sbom-python "$here/requirements-sbom.txt")
cd "$root"
mkdir -p .ragstone
packages=("onnxruntime==$(sed -n 's/^version=//p' "$here/onnxruntime.sh")")
[[ ! -d $cache/ort/openvino ]] || packages+=("$(grep -om1 'onnxruntime-openvino==[0-9.]*' "$here/openvino.sh")")
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
"$python" "$here/sbom.py" "pg$(pg_major)" "$version" "$cache/ort" "$cache/models" .ragstone/sbom.cdx.json "${packages[@]}"
