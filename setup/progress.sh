#!/usr/bin/env bash
# Shows how far the making of a collection is while process PID makes it, as any session can read it.
# usage: progress.sh collection pid
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

collection=$1 pid=$2 shown=-1

bar() {
  local done=$1 total=$2 percent=$((100 * $1 / $2)) filled
  filled=$(printf '%*s' $((percent * 40 / 100)) '')
  if [[ -t 2 ]]; then
    printf '\r  %-40s %3d %%  %d of %d rows, %d s ' "${filled// /#}" "$percent" "$done" "$total" "$SECONDS" >&2
  elif ((percent / 10 != shown)); then
    shown=$((percent / 10))
    printf '  %3d %%  %d of %d rows, %d s\n' "$percent" "$done" "$total" "$SECONDS" >&2
  fi
}

while kill -0 "$pid" 2>/dev/null; do
  row=$("$(pg bindir)/psql" --no-psqlrc --tuples-only --no-align --field-separator=' ' --set=name="$collection" 2>/dev/null \
    <<<"SELECT rows_done, rows_total FROM rag.collections WHERE name = :'name'") || row=""
  read -r rows total <<<"$row" || true
  if [[ -n ${total:-} ]] && ((total > 0)); then bar "$rows" "$total"; fi
  sleep 0.5
done
[[ ! -t 2 ]] || echo >&2
