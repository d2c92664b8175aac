#!/usr/bin/env bash
# Copies a staged tree to its place in the file system, or under DESTDIR. usage: put.sh stage
# An existing file that differs is replaced, never overwritten, so that processes which have it open or mapped continue
# with the old one; equal files are left alone.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

stage=$1

# The nearest existing folder determines whether root is needed.
writable() {
  local folder=$1
  until [[ -e $folder ]]; do folder=$(dirname "$folder"); done
  [[ -w $folder ]]
}

put() {
  local source=$1 target=$2 run=() mode=644
  if ! writable "$(dirname "$target")"; then run=(as_root); fi
  if [[ -L $source ]]; then
    [[ $(readlink "$target") == "$(readlink "$source")" ]] && return
    "${run[@]}" install -d -m 755 "$(dirname "$target")"
    "${run[@]}" ln --symbolic --force --no-dereference "$(readlink "$source")" "$target"
  elif ! cmp --quiet "$source" "$target"; then
    [[ -x $source ]] && mode=755
    "${run[@]}" install -D -m "$mode" "$source" "$target"
  fi
}

while IFS= read -r -d '' file; do
  target=${DESTDIR:-}${file#"$stage"}
  put "$file" "$target" || die "cannot write $target" "Run this as root, with sudo installed, or with DESTDIR=/some/folder."
done < <(find "$stage" \( -type f -o -type l \) -print0)
