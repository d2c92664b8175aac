#!/usr/bin/env bash
# Downloads the ONNX Runtime library into the cache. 1.28.0 is the last version without telemetry.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

folder=$cache/ort/onnxruntime
version=1.28.0
case $(uname -m) in
  x86_64)
    wheel=a166b78ee04f3a37fa1ef82034b6a3ce96d9684e582d4d30b296de83e9998bb5
    library=aa4079d18f4ea7a5f3a94d80cd4bbe0f2740436626622d64d793803a20381083
    ;;
  aarch64)
    wheel=8d66f9ceb29909c70839e4e4fb3435c7b490050d8f162bd5f3aba4ca01ee517f
    library=23a37c2994bc273e1d59a4f49af6cba5bf1cfbc29f04907ec27df375aba50a7d
    ;;
  *) die "there is no ONNX Runtime for $(uname -m) in a package" "Build libonnxruntime.so $version and put it into $folder." ;;
esac

has_sha256 "$folder/libonnxruntime.so" "$library" && [[ -f $folder/LICENSE ]] && exit
file=$(wheel "onnxruntime==$version" "$wheel" "manylinux_2_28_$(uname -m)" "manylinux_2_27_$(uname -m)")
"$("$here/python.sh")" "$here/unpack.py" "$file" "$folder" \
  "onnxruntime/capi/libonnxruntime.so.$version" onnxruntime/LICENSE onnxruntime/ThirdPartyNotices.txt
rm -r "$(dirname "$file")"
mv "$folder/libonnxruntime.so.$version" "$folder/libonnxruntime.so"
has_sha256 "$folder/libonnxruntime.so" "$library" || die "the ONNX Runtime library is not the expected one" \
  "expected sha256 $library" "actual   sha256 $(sha256sum "$folder/libonnxruntime.so" | cut -d' ' -f1)"
