#!/usr/bin/env bash
# Runs pg_upgrade from PostgreSQL 15 to 18 on a server with a collection. Ragstone must be installed in Debian's 15 and,
# by PG=18 setup/install.sh, in the copy of 18.
#
# The old server is a copy as well: pg_upgrade cannot restore a column property of Debian's 15.20 (pg_attver) into an 18
# that is older than that.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[[ $(pg_major) == 15 ]] || die "the PostgreSQL to take Ragstone from is $(pg_major), not 15"
old=$("$here/postgres.sh" 15)
new=$("$here/postgres.sh" 18)
[[ -e $("$new" --pkglibdir)/ragstone.so ]] || die "Ragstone is missing from PostgreSQL 18" \
  "Run: PG=18 setup/pgvector.sh && PG=18 setup/install.sh"

# Two minor versions of 15 load the same files.
borrow() { ln --symbolic --force --no-dereference "$@"; }
library=$("$old" --pkglibdir) share=$("$old" --sharedir)
borrow "$(pg pkglibdir)"/{ragstone.so,ragstone,vector.so} "$library/"
borrow "$(pg sharedir)"/extension/{ragstone,vector}* "$share/extension/"
borrow "$(pg sharedir)/ragstone" "$share/"

cd "$root"
export PG_CONFIG=$old RAGSTONE_NEWER_PG_CONFIG=$new
cargo test --package ragstone-tests --test it -- pg_upgrade
