#!/usr/bin/env bash
# Builds in release mode and installs the extension, the engine, the libraries, the default model and the
# documents into the PostgreSQL of PG_CONFIG, or under DESTDIR. It installs nothing else, so a packager's
# build needs only this script. RAGSTONE_PROFILE=ci builds the extension with the profile of that name
# instead, which compiles faster.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

"$here/pgrx.sh"
"$here/onnxruntime.sh"
"$here/openvino.sh"
"$here/model.sh"

major=$(pg_major)
stage=$cache/stage/pg$major
library=$stage$(pg pkglibdir)/ragstone
models=$stage$(pg sharedir)/ragstone/models
documents=$stage$(pg docdir)/extension/ragstone

cd "$root"
say "building for $(pg version)"
rm -rf "$stage"
# Cargo unifies the features of the workspace's members, so one command builds both with the same features.
CARGO_TARGET_DIR=$(extension_target) cargo pgrx package --pg-config "$(pg_config_path)" --profile "${RAGSTONE_PROFILE:-release}" \
  --no-default-features --features "pg$major" --out-dir "$stage" >&2
cargo build --quiet --release --package ragstone-engine --bin ragstone-engine

# The scripts that upgrade databases of tagged versions; there are none before the first tag.
[[ ! -d sql/upgrade ]] || cp sql/upgrade/*.sql "$stage$(pg sharedir)/extension/"
install -D -m 755 "$CARGO_TARGET_DIR/release/ragstone-engine" "$library/ragstone-engine"
install -d "$stage$(pg bindir)" "$models" "$documents"
ln --symbolic --relative "$library/ragstone-engine" "$stage$(pg bindir)/ragstone-engine"
cp --recursive "$cache/ort/onnxruntime/." "$library/"
[[ ! -d $cache/ort/openvino ]] || cp --recursive "$cache/ort/openvino" "$library/openvino"
cp --recursive "$cache/models/all-MiniLM-L6-v2" "$models/"
for document in README.md CHANGELOG.md LICENSE docs; do
  [[ ! -e $document ]] || cp --recursive "$document" "$documents/"
done
"$("$here/python.sh")" "$here/licences.py" "pg$major" "$documents/ThirdPartyLicences.txt"

"$here/put.sh" "$stage"
