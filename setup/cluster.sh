#!/usr/bin/env bash
# Creates, starts and stops a private PostgreSQL server, for the demo, tests and benches.
#
# usage: cluster.sh start folder [setting=value...]   prints PGHOST, PGPORT, PGUSER and PGDATABASE as shell exports
#        cluster.sh stop folder
#
# The server listens only on a Unix socket, in a folder that only its user may enter, and requires no password.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

(($# >= 2)) || die "usage: cluster.sh start|stop folder [setting=value...]"
verb=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
settings=("${@:3}")
cluster=$folder/cluster
mark=$(echo "$folder" | sha256sum | cut -c1-12)

# The server's own folder is below the given one. If the server's user cannot enter that (for example a
# checkout in root's home), it is below that user's home, with a link to it.
make_folder() {
  local home
  if [[ ! -e $cluster ]]; then
    rm -f "$cluster"
    if as_server test -x "$folder"; then
      install -d -m 700 "$cluster"
      ((EUID != 0)) || chown "$(server_user):" "$cluster"
    else
      home=$(getent passwd "$(server_user)" | cut -d: -f6)
      as_server mkdir -p -m 700 "$home/ragstone-$mark" || die "the user $(server_user) can neither enter $folder nor write to $home" \
        "Put the checkout where that user can go, or run this as another user than root."
      ln --symbolic "$home/ragstone-$mark" "$cluster"
    fi
  fi
  cluster=$(readlink --canonicalize "$cluster")
}

# The path of a Unix socket has at most 107 bytes.
socket_folder() {
  local short=${XDG_RUNTIME_DIR:-/tmp}/ragstone-$mark
  if ((${#cluster} + ${#socket_name} <= 107)); then
    echo "$cluster"
    return
  fi
  as_server test -w "$(dirname "$short")" || short=/tmp/ragstone-$mark
  as_server mkdir -m 700 "$short" 2>/dev/null || true
  [[ ! -L $short && $(stat --format='%U %a' "$short") == "$(server_user) 700" ]] ||
    die "$short is not a folder of $(server_user) alone" "Remove it, or use a shorter path than $folder."
  echo "$short"
}
socket_name=/.s.PGSQL.5432

running() { as_server "$(pg bindir)/pg_ctl" status --pgdata "$cluster/data" >/dev/null 2>&1; }

make_data() {
  [[ ! -f $cluster/data/PG_VERSION ]] || return 0
  as_server "$(pg bindir)/initdb" --pgdata "$cluster/data" --username "$(server_user)" --auth-local=trust --auth-host=reject \
    --encoding=UTF8 --locale=C.UTF-8 --no-sync >/dev/null
  as_server tee -a "$cluster/data/postgresql.conf" >/dev/null <<END
listen_addresses = ''
shared_preload_libraries = ''
unix_socket_permissions = 0700
END
}

start() {
  local actual host flags="" setting
  make_folder
  make_data
  actual=$(cat "$cluster/data/PG_VERSION")
  [[ $actual == "$(pg_major)" ]] || die "the data in $folder is of PostgreSQL $actual, not $(pg_major)" \
    "Run make clean, or choose that PostgreSQL with PG_CONFIG."
  host=$(socket_folder)
  for setting in "${settings[@]}"; do flags+=" -c $setting"; done
  running || as_server "$(pg bindir)/pg_ctl" start --silent --wait --pgdata "$cluster/data" --log "$cluster/log" \
    --options "-k '$host' -p 5432$flags" >/dev/null || die "the server does not start" "$(tail -n 5 "$cluster/log" 2>/dev/null)"
  printf 'export %s\n' "PGHOST='$host'" PGPORT=5432 "PGUSER=$(server_user)" "PGDATABASE=${RAGSTONE_DATABASE:-postgres}"
}

stop() {
  cluster=$(readlink --canonicalize "$cluster")
  ! running || as_server "$(pg bindir)/pg_ctl" stop --silent --wait --mode=fast --pgdata "$cluster/data"
}

case $verb in
  start) start ;;
  stop) stop ;;
  *) die "expected start or stop, not $verb" ;;
esac
