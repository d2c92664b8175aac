#!/usr/bin/env bash
# Builds django-ragstone and runs its tests as installed, on Django 5.2 and on the newest one, and checks its types; then
# runs the tests of examples/django, including those in Chromium. Ragstone must be installed.
# usage: djangocheck.sh                         all of these
#        djangocheck.sh package                 only those of django-ragstone
#        djangocheck.sh pytest's arguments...   only those of the application
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if ! command -v chromium >/dev/null; then
  say "installing chromium"
  as_root apt-get update -qq || say "apt-get update failed, going on with the lists that are there"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends chromium >&2 ||
    say "the tests in a browser are left out: chromium cannot be installed"
fi

folder=$(mktemp --directory)
chmod 755 "$folder"
clean_up() { "$here/cluster.sh" stop "$folder" && rm -rf "$(readlink --canonicalize "$folder/cluster")" "$folder"; }
trap clean_up EXIT

# Tests the installed package. usage: installed python
installed() (
  cd "$root/examples/django/tests/package"
  export PYTHONPATH=$folder/installed
  "$1" -m django test --settings settings
  "$1" -m django makemigrations --check --dry-run --verbosity 0 --settings settings
)

# The first Python of version 3.12 or newer that runs.
newer_python() {
  local candidate
  for candidate in python3 python3.14 python3.13 python3.12 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

package() {
  local python newer
  # The build must not write into the checkout.
  cp -r "$root/examples/django/ragstone" "$folder/source"
  python=$("$here/venv.sh" django-package-python "$root/examples/django/requirements-package.txt")
  "$python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$folder/wheel" "$folder/source"
  "$python" -m pip install --quiet --no-deps --target "$folder/installed" "$folder"/wheel/*.whl
  installed "$python"
  (cd "$root/examples/django/tests/package" && MYPYPATH=$folder/installed PYTHONPATH=$folder/installed "$python" -m mypy \
    --config-file "$root/examples/django/ragstone/pyproject.toml" --cache-dir "$folder/mypy" -p ragstone -p shelf)
  if newer=$(newer_python); then
    installed "$("$here/venv.sh" django-package-newer "$root/examples/django/requirements-package-6.txt" "$newer")"
  else
    echo "not run: django-ragstone on Django 6, for which Python 3.12 or newer is missing"
  fi
}

exports=$("$here/cluster.sh" start "$folder" fsync=off)
eval "$exports"
if (($# == 0)) || [[ $1 == package ]]; then package; fi
[[ ${1:-} != package ]] || exit 0
cd "$root/examples/django"
cat requirements.txt requirements-test.txt >"$folder/requirements.txt"
python=$("$here/venv.sh" django-test-python "$folder/requirements.txt")
"$python" -m pytest "$@"
