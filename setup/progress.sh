#!/usr/bin/env bash
# Shows the progress of a collection, its state, and the reason why it waits, while process PID waits for it. Any
# session can read these.
# usage: progress.sh collection pid
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

collection=$1 pid=$2 shown=
# Before the extension exists, the query would cause an error in the server's log.
query="SELECT to_regclass('rag.stat_collection') IS NOT NULL AS there \gset
\if :there
SELECT rows_done, rows_left, state, reason FROM rag.stat_collection WHERE collection = :'name';
\endif"

show() {
  local done=$1 total=$(($1 + $2)) state=$3 reason=$4 percent filled
  percent=$((total > 0 ? 100 * done / total : 0))
  filled=$(printf '%*s' $((percent * 40 / 100)) '')
  if [[ -t 2 ]]; then
    printf '\r\033[K  %-40s %3d %%  %d of %d rows, %d s, %s%s' "${filled// /#}" "$percent" "$done" "$total" "$SECONDS" "$state" "${reason:+: $reason}" >&2
  elif [[ "$((percent / 10)) $state $reason" != "$shown" ]]; then
    shown="$((percent / 10)) $state $reason"
    printf '  %3d %%  %d of %d rows, %d s, %s%s\n' "$percent" "$done" "$total" "$SECONDS" "$state" "${reason:+: $reason}" >&2
  fi
}

while kill -0 "$pid" 2>/dev/null; do
  row=$("$(pg bindir)/psql" --no-psqlrc --quiet --tuples-only --no-align --field-separator=$'\x1f' --set=name="$collection" <<<"$query" 2>/dev/null) || row=""
  IFS=$'\x1f' read -r rows left state reason <<<"$row" || true
  if [[ -n ${state:-} ]]; then show "$rows" "$left" "$state" "${reason:-}"; fi
  sleep 0.5
done
[[ ! -t 2 ]] || echo >&2
