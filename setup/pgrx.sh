#!/usr/bin/env bash
# Installs cargo-pgrx, and configures it with the path of PostgreSQL.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cargo_tool cargo-pgrx 0.18.1

line="pg$(pg_major) = \"$(pg_config_path)\""
if ! grep -qsxF "$line" "$PGRX_HOME/config.toml"; then
  mkdir -p "$PGRX_HOME"
  cargo pgrx init "--pg$(pg_major)=$(pg_config_path)" >&2
fi
