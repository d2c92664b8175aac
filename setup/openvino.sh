#!/usr/bin/env bash
# Downloads ONNX Runtime with OpenVINO's execution provider into the cache, on processors that compute in
# bfloat16. It is optional: without it the engine uses ONNX Runtime's own provider, so a failure only causes a
# warning.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

folder=$cache/ort/openvino
[[ $(uname -m) == x86_64 ]] && grep -qwE 'amx_bf16|avx512_bf16' /proc/cpuinfo || exit 0
[[ -f $folder/libonnxruntime.so && -f $folder/LICENSE ]] && exit

# Only the files that the CPU device loads: half of the wheel is copies and plugins for other devices.
libraries=(libonnxruntime.so.1.24.1 libonnxruntime_providers_openvino.so libonnxruntime_providers_shared.so
  libopenvino.so.2541 libopenvino_onnx_frontend.so.2541 libopenvino_intel_cpu_plugin.so libtbb.so.12)

fetch() {
  local file
  file=$(wheel onnxruntime-openvino==1.24.1 3007c803634cc69c6d52af1dea7ce729d9bb62b9a11070fd2f959119199007a8 manylinux_2_28_x86_64) &&
    rm -rf "$folder.part" &&
    "$("$here/python.sh")" "$here/unpack.py" "$file" "$folder.part" "${libraries[@]/#/onnxruntime/capi/}" \
      onnxruntime/LICENSE onnxruntime/ThirdPartyNotices.txt &&
    rm -r "$(dirname "$file")" &&
    ln --symbolic libonnxruntime.so.1.24.1 "$folder.part/libonnxruntime.so" &&
    rm -rf "$folder" && mv "$folder.part" "$folder"
}

# In a subshell, because a failed download exits the script.
(fetch) || say "OpenVINO could not be installed, going on with ONNX Runtime alone"
