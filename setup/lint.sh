#!/usr/bin/env bash
# Checks formatting and dependencies, and runs clippy, ruff and, if it is installed, shellcheck.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

"$here/pgrx.sh"
cd "$root"
cargo fmt --all --check
PGRX_PG_CONFIG_PATH=$(pg_config_path) cargo clippy --quiet --workspace --all-targets --no-default-features \
  --features "pg$(pg_major) pg_test" -- --deny warnings
"$here/deny.sh"
python=$("$here/venv.sh" lint-python "$here/requirements-lint.txt")
export RUFF_CACHE_DIR=$cache/ruff
"$python" -m ruff format --check
"$python" -m ruff check
if command -v shellcheck >/dev/null; then shellcheck "$here"/*.sh .ci/run; fi
