#!/usr/bin/env bash
# Installs cargo-pgrx, and tells it where PostgreSQL is.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

need_cargo
version=0.18.1
if [[ $(cargo pgrx --version 2>/dev/null) != "cargo-pgrx $version" ]]; then
  say "building cargo-pgrx $version (minutes, once)"
  # It does little by itself, so an unoptimized one is as good and built in a third of the time.
  cargo install --quiet --debug --locked --root "$cache/cargo" --target-dir "$cache/target-cargo-pgrx" "cargo-pgrx@$version"
  rm -rf "$cache/target-cargo-pgrx"
fi

line="pg$(pg_major) = \"$(pg_config_path)\""
if ! grep -qsxF "$line" "$PGRX_HOME/config.toml"; then
  mkdir -p "$PGRX_HOME"
  cargo pgrx init "--pg$(pg_major)=$(pg_config_path)" >&2
fi
