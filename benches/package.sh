#!/usr/bin/env bash
# Fetches a Debian package into the cache and unpacks it, without installing it. usage: package.sh package folder
set -euo pipefail

package=$1 folder=$2
work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT
cd "$work"
# apt drops its privileges for downloads if its unprivileged user can write to the folder; otherwise it only warns.
apt-get download --quiet "$package"
dpkg-deb --extract "$package"_*.deb unpacked
mkdir -p "$(dirname "$folder")"
rm -rf "$folder"
mv unpacked "$folder"
