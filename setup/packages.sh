#!/usr/bin/env bash
# Installs the system packages that Ragstone needs, or prints the missing ones.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# clang and libclang read PostgreSQL's headers; gcc and make build pgvector.
packages=(postgresql-doc-15 clang libclang-dev gcc make libc6-dev pkg-config python3 python3-venv ca-certificates)
# The copy of PostgreSQL that PG selects uses the libraries of Debian's PostgreSQL, and runs as its user.
[[ -n ${PG_CONFIG:-} ]] || packages+=(postgresql-15)
[[ -n ${PG_CONFIG:-} || ${PG:-15} != 15 ]] || packages+=(postgresql-server-dev-15)
# `cargo pgrx test` uses it to run as another user than root.
((EUID != 0)) || packages+=(sudo)

missing=()
for package in "${packages[@]}"; do
  [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done

if ((${#missing[@]})); then
  advice=("As an administrator: apt-get update && apt-get install ${missing[*]}"
    "With a PostgreSQL from elsewhere, name it: make demo PG_CONFIG=/path/to/pg_config")
  command -v apt-get >/dev/null || die "this needs Debian's packages, and apt-get is missing" "Packages: ${missing[*]}" "${advice[1]}"
  as_root true || die "packages are missing, and installing them needs root or sudo" "${advice[@]}"
  say "installing ${missing[*]}"
  as_root apt-get update -qq || say "apt-get update failed, going on with the lists that are there"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq "${missing[@]}" >&2 ||
    die "apt-get could not install the packages" "${advice[@]}"
fi

need_cargo
