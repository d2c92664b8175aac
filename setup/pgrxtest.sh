#!/usr/bin/env bash
# Runs the tests inside the extension (#[pg_test]), on a server created for them.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

folder=$(mktemp --directory)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
options=()
# If the user may not write to PostgreSQL's folders, cargo-pgrx installs with sudo, provided that --runas is
# given.
if ((EUID == 0)) || [[ ! -w $(pg pkglibdir) ]]; then
  options=(--runas "$(server_user)" --pgdata "$folder/data")
  chown "$(server_user):" "$folder"
  # cargo-pgrx overwrites the library's file, which would change it under servers that have it mapped.
  as_root rm -f "$(pg pkglibdir)/ragstone.so" || true
fi
[[ -z ${RAGSTONE_PROFILE:-} ]] || options+=(--profile "$RAGSTONE_PROFILE")
cd "$root"
CARGO_TARGET_DIR=$(extension_target) cargo pgrx test "${options[@]}" "pg$(pg_major)"
