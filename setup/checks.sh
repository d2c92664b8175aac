# shellcheck shell=bash disable=SC2154  # folder is that of the script that sources this, root is of common.sh
# Sourced by the scripts that run examples: runs the examples, and counts the checks of their output, which is kept in
# $folder/out.

out=$folder/out
psql=("$(pg bindir)/psql" --no-psqlrc --quiet --no-align --pset=pager=off --set=ON_ERROR_STOP=1 --set=VERBOSITY=verbose)
passed=0 failed=0

# usage: check description command...
check() {
  local description=$1
  shift
  if "$@"; then
    passed=$((passed + 1))
    echo "ok: $description"
  else
    failed=$((failed + 1))
    echo "FAILED: $description"
  fi
}

# usage: file path [psql's arguments...]
file() {
  printf '\n--- %s\n' "$1"
  check "$1 runs" run "${@:2}" --file="$root/$1"
}

# usage: run psql's arguments...
run() { kept "${psql[@]}" "$@"; }

# Runs a command, shows its output and keeps it for the checks that follow.
kept() {
  local status=0
  "$@" >"$out" 2>&1 || status=$?
  cat "$out"
  return "$status"
}

# True if the last output matches this, also across lines. usage: shows perl-expression
shows() { grep --quiet --null-data --perl-regexp "$1" "$out"; }

value() { "${psql[@]}" --tuples-only --command="$1"; }

# Prints the counts, and exits with an error if a check has failed.
verdict() {
  local verdict=ok
  ((failed == 0)) || verdict=FAILED
  printf '\nexample result: %s. %d passed; %d failed\n' "$verdict" "$passed" "$failed"
  ((failed == 0))
}
