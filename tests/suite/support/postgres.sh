#!/usr/bin/env bash
# A throw-away PostgreSQL cluster for the tests, over the binaries that are installed.
#   postgres.sh nextest      for nextest's setup script: the cluster lives as long as the nextest that called
#   postgres.sh stop DATA    stops a running cluster at once, as a crash would; DATA is its data folder
#   postgres.sh again DATA PORT   starts it again at that port
#   postgres.sh standby PID PORT  makes a standby of the cluster at that port, prints its port and data folder
#   postgres.sh promote DATA      makes a standby the primary
#   postgres.sh start PID    prints the cluster's URL; the cluster lives as long as process PID
# The cluster listens on a free port of 127.0.0.1, forgets everything at the end and is never asked to survive a crash.
# A watchdog stops and removes it when its owner has gone, however the owner went.
set -euo pipefail

fail() { echo "postgres.sh: $*" >&2; exit 1; }

# Debian keeps the server's programs off PATH, one folder a version: the newest counts.
find_bin() {
  local dir
  dir=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
  if [ -n "$dir" ] && [ -x "$dir/initdb" ]; then echo "$dir"; return; fi
  if command -v initdb >/dev/null && command -v pg_ctl >/dev/null; then dirname "$(command -v initdb)"; return; fi
  fail "no PostgreSQL server is installed. 'make setup' installs it (Debian package: postgresql)."
}

# PostgreSQL refuses to run as root.
as_postgres() {
  if [ "$(id -u)" != 0 ]; then "$@"; return; fi
  setpriv --reuid=postgres --regid=postgres --init-groups -- env HOME="$dir" "$@"
}

# A zombie that its parent has yet to reap is gone for our purposes.
alive() { grep -qs '^State:[[:space:]]*[A-WYa-w]' "/proc/$1/status"; }

start_cluster() {
  if [ "$(id -u)" = 0 ] && ! id postgres >/dev/null 2>&1; then
    fail "PostgreSQL does not run as root, and there is no user 'postgres' to run it as."
  fi
  dir=$(mktemp -d "${TMPDIR:-/tmp}/matrikel-pg.XXXXXXXX")
  [ "$(id -u)" != 0 ] || chown postgres:postgres "$dir"
  cd "$dir"
  # Sorting is Swedish on purpose: no answer may depend on the collation of the database.
  local locale=(--locale=C.UTF-8 --locale-provider=icu --icu-locale=sv-SE)
  as_postgres "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --no-sync "${locale[@]}" >"$dir/initdb.log" 2>&1 ||
    { rm -rf "$dir/data"
      as_postgres "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --no-sync --locale=C.UTF-8 >>"$dir/initdb.log" 2>&1; } ||
    { cat "$dir/initdb.log" >&2; rm -rf "$dir"; fail "initdb failed."; }
  cat >>"$dir/data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 300
shared_buffers = 128MB
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = on
jit = off
log_min_messages = warning
log_line_prefix = '%d|%a|'
CONF
  run_cluster
}

# A copy that follows the cluster at port $1 and is answered for by it.
start_standby() {
  dir=$(mktemp -d "${TMPDIR:-/tmp}/matrikel-pg.XXXXXXXX")
  [ "$(id -u)" != 0 ] || chown postgres:postgres "$dir"
  cd "$dir"
  as_postgres "$bin/pg_basebackup" -h 127.0.0.1 -p "$1" -U postgres -D "$dir/data" -R -X stream -c fast --no-sync >"$dir/copy.log" 2>&1 ||
    { cat "$dir/copy.log" >&2; rm -rf "$dir"; fail "pg_basebackup failed."; }
  run_cluster
}

# Another process may take the port between the look and the start: then another port.
run_cluster() {
  for _ in 1 2 3 4 5 6 7 8; do
    port=$((20000 + RANDOM % 12000))
    if as_postgres "$bin/pg_ctl" -D "$dir/data" -s -w -t 60 -l "$dir/log" -o "-p $port" start </dev/null >>"$dir/start.log" 2>&1; then
      return
    fi
  done
  tail -n 20 "$dir/log" >&2 || true
  rm -rf "$dir"
  fail "the cluster did not start."
}

stop_cluster() {
  as_postgres "$bin/pg_ctl" -D "$dir/data" -s -m immediate -w stop >/dev/null 2>&1 || true
  rm -rf "$dir"
}

watch_owner() {
  ( while alive "$1"; do sleep 0.5; done
    stop_cluster ) </dev/null >/dev/null 2>&1 &
  disown
}

bin=$(find_bin)
case ${1:-} in
nextest)
  [ -n "${NEXTEST_ENV:-}" ] || fail "NEXTEST_ENV is not set: 'nextest' is for nextest's setup script."
  start_cluster
  watch_owner "$PPID"
  echo "MATRIKEL_TEST_PG=postgres://postgres@127.0.0.1:$port" >>"$NEXTEST_ENV" ;;
start)
  owner=${2:?postgres.sh start PID}
  start_cluster
  watch_owner "$owner"
  echo "postgres://postgres@127.0.0.1:$port" ;;
standby)
  owner=${2:?postgres.sh standby PID PORT}
  start_standby "${3:?postgres.sh standby PID PORT}"
  watch_owner "$owner"
  echo "$port $dir/data" ;;
promote)
  cd "$(dirname "$2")"
  dir=$(dirname "$2")
  as_postgres "$bin/pg_ctl" -D "$2" -s -w promote ;;
stop)
  dir=$(dirname "$2")
  cd "$dir"
  as_postgres "$bin/pg_ctl" -D "$2" -s -m immediate -w stop ;;
again)
  dir=$(dirname "$2")
  cd "$dir"
  as_postgres "$bin/pg_ctl" -D "$2" -s -w -t 60 -l "$dir/log" -o "-p $3" start </dev/null >>"$dir/start.log" 2>&1 ;;
*) fail "usage: postgres.sh nextest | start PID | standby PID PORT | promote DATA | stop DATA | again DATA PORT" ;;
esac
