#!/usr/bin/env bash
# Runs the regression suite, the integration tests and the bench of reports against the installed extension, under a
# clock that is set to another time: tests that pass on most days may fail on a Sunday, at the end of a month or a
# year, on 29 February, or when daylight saving time starts.
# usage: clockcheck.sh moment [time zone [integration test...]]
#
# The moment is in UTC, and each part starts at it. The time zone applies to servers and clients; the default is UTC.
# Timestamps of files and the monotonic clock do not change.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage="usage: clockcheck.sh moment [time zone [integration test...]], for example clockcheck.sh '2027-03-28 00:50' Europe/Berlin"
(($#)) || die "$usage"
moment=$(date --utc --date "$1" +%s) || die "$usage"
zone=${2:-UTC}
tests=("${@:3}")
command -v cc >/dev/null || die "a C compiler is missing" "Install gcc, which makes the library that sets the clock."
[[ -f /usr/share/zoneinfo/$zone ]] || die "there is no time zone $zone"
need_cargo
PG_CONFIG=$(pg_config_path)
RAGSTONE_PGBOUNCER=$("$here/pgbouncer.sh") || true
export PG_CONFIG RAGSTONE_PGBOUNCER

folder=$(mktemp --directory)
trap 'rm -rf "$folder"' EXIT
cc -shared -fPIC -O2 -o "$folder/clock.so" "$here/clock.c" -ldl
# Runs a command under the clock. All processes that it starts use the same offset, in seconds, from the
# machine's clock.
cat >"$folder/run" <<END
#!/usr/bin/env bash
export RAGSTONE_CLOCK_OFFSET=\$(($moment - EPOCHSECONDS)) LD_PRELOAD=$folder/clock.so TZ=$zone RAGSTONE_TEST_TIMEZONE=$zone
exec "\$@"
END
chmod 755 "$folder" "$folder/run" "$folder/clock.so"

# Programs are built before, because cargo itself must not see the other clock.
cd "$root"
cargo test --quiet --package ragstone-tests --test it --no-run
cargo bench --quiet --package ragstone-benches --bench speed --no-run

summary=() failed=0
# usage: part name command...
part() {
  local name=$1 status=passed
  shift
  say "$name at $("$folder/run" date '+%a %F %T %Z')"
  "$@" || status=FAILED failed=1
  summary+=("$name $status")
}

runner="target.'cfg(all())'.runner='$folder/run'"
# shellcheck disable=SC2317  # called by name
integration() { cargo test --quiet --config "$runner" --package ragstone-tests --test it -- "$@"; }

part regression "$folder/run" "$here/installcheck.sh"
if ((${#tests[@]})); then
  for test in "${tests[@]}"; do part "integration $test" integration "$test"; done
else
  part integration integration
fi
part "bench of reports" cargo bench --quiet --config "$runner" --package ragstone-benches --bench speed -- reports
printf '%s\n' "${summary[@]/#/$1 $zone: }"
exit "$failed"
