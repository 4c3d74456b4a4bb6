#!/usr/bin/env bash
# A whole Pegasus cluster on this machine: see `onebox.sh help`.
set -u
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

onebox_dir="${ONEBOX_DIR:-$PWD/onebox}"
offset="${ONEBOX_PORT_OFFSET:-0}"
[[ "$offset" =~ ^[0-9]+$ ]] || die "ONEBOX_PORT_OFFSET=\"$offset\": expected a number, 0 or more"

usage() {
    cat <<EOF
Usage: $(basename "$0") COMMAND [OPTIONS]

  start [-m METAS=1] [-r REPLICAS=3] [-c COLLECTORS=1] [-p PARTITIONS=8] [-a TABLE=temp]
        [--zookeeper HOST:PORT]
                    build, start the daemons on 127.0.0.1, wait until TABLE is healthy
  list              the processes of this onebox
  stop              end them (SIGTERM)
  clear             stop, and delete all data
  start_instance | stop_instance | restart_instance | kill_instance   (-m N | -r N | -c N)
                    one process; kill_instance is SIGKILL. Several selectors may be given.

State is kept in $onebox_dir (set ONEBOX_DIR to change it).
With ONEBOX_BUILD=no the daemons are taken as they were built last.
Ports: meta 34600+N, replica 34800+N, collector 34101, all plus ONEBOX_PORT_OFFSET=$offset.
EOF
}

# ---- one instance: a role and a number -------------------------------------------------------

binary_of() {
    case $1 in
    meta) echo "$bin_dir/meta-server" ;;
    replica) echo "$bin_dir/replica-server" ;;
    collector) echo "$bin_dir/collector" ;;
    esac
}

port_of() {
    case $1 in
    meta) echo $((34600 + $2 + offset)) ;;
    replica) echo $((34800 + $2 + offset)) ;;
    collector) echo $((34100 + $2 + offset)) ;;
    esac
}

dir_of() { echo "$onebox_dir/$1$2"; }

# The pid of a running instance; a pid file alone proves nothing, the number may be taken again.
pid_of() {
    local dir pid
    dir="$(dir_of "$1" "$2")"
    pid="$(cat "$dir/pid" 2>/dev/null)" || return 1
    tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF "$dir/config.ini" || return 1
    echo "$pid"
}

instances() {
    local dir name
    for dir in "$onebox_dir"/{meta,replica,collector}[0-9]*; do
        [ -f "$dir/config.ini" ] || continue
        name="$(basename "$dir")"
        echo "${name%%[0-9]*} ${name##*[a-z]}"
    done
}

meta_list() { # METAS
    local i list=
    for i in $(seq 1 "$1"); do list+="${list:+,}127.0.0.1:$(port_of meta "$i")"; done
    echo "$list"
}

# The template, filled in as an operator would do it for one machine.
write_config() { # ROLE N METAS PARTITIONS TABLE
    local dir port
    dir="$(dir_of "$1" "$2")"
    port="$(port_of "$1" "$2")"
    mkdir -p "$dir/data" "$dir/log"
    # Prometheus text is on the port 10000 above the main one.
    sed -e "s|%{cluster.name}|onebox|g" \
        -e "s|%{app.dir}|$dir/data|g" \
        -e "s|%{data.dirs}|data:$dir/data|g" \
        -e "s|%{meta.server.list}|$(meta_list "$3")|g" \
        -e "s|%{zk.server.list}||g" \
        -e "/^\[apps\.$1\]/,/^\[/ s|^  ports = .*|  ports = $port|" \
        -e "s|^  log_dir =.*|  log_dir = $dir/log|" \
        -e "s|^  explicit_host_address =.*|  explicit_host_address = 127.0.0.1|" \
        -e "s|^  prometheus_port = .*|  prometheus_port = $((port + 10000))|" \
        -e "s|^  meta_state_service_type = .*|  meta_state_service_type = meta_state_service_simple|" \
        -e "s|^  distributed_lock_service_type = .*|  distributed_lock_service_type = distributed_lock_service_simple|" \
        -e "s|^  available_detect_app = .*|  available_detect_app = $5|" \
        -e "s|^  rocksdb_block_cache_capacity = .*|  rocksdb_block_cache_capacity = 256MB|" \
        -e "s|^  min_live_node_count_for_unfreeze = .*|  min_live_node_count_for_unfreeze = 1|" \
        "$repo_dir/config.ini.template" >"$dir/config.ini"
    # The template has a table "stat" of its own.
    [ "$5" = stat ] || printf '\n[meta_server.apps.%s]\n  app_name = %s\n  app_type = pegasus\n  partition_count = %s\n  max_replica_count = 3\n' \
        "$5" "$5" "$4" >>"$dir/config.ini"
}

start_one() { # ROLE N
    local dir pid bin
    dir="$(dir_of "$1" "$2")"
    [ -f "$dir/config.ini" ] || die "invalid $1 number $2: no $dir/config.ini"
    if pid="$(pid_of "$1" "$2")"; then
        say "INFO: $1@$2 already running (pid $pid)"
        return 1
    fi
    bin="$(binary_of "$1")"
    [ -x "$bin" ] || die "$bin does not exist: run \"$0 start\" first"
    (cd "$dir" && exec setsid "$bin" "$dir/config.ini" >>"$dir/result" 2>&1 </dev/null) &
    echo $! >"$dir/pid"
    # The number is that of the shell until it has become the daemon.
    for _ in $(seq 100); do
        pid_of "$1" "$2" >/dev/null && break
        kill -0 "$(cat "$dir/pid")" 2>/dev/null || break
        sleep 0.05
    done
    pid_of "$1" "$2" >/dev/null || die "$1@$2 did not start: $(tail -5 "$dir/result")"
    say "INFO: $1@$2 started (pid $(pid_of "$1" "$2"), port $(port_of "$1" "$2"))"
}

wait_gone() { # ROLE N SECONDS
    local _
    for _ in $(seq $(($3 * 10))); do
        pid_of "$1" "$2" >/dev/null || return 0
        sleep 0.1
    done
    return 1
}

stop_one() { # ROLE N SIGNAL
    local pid
    if ! pid="$(pid_of "$1" "$2")"; then
        say "INFO: $1@$2 not running"
        rm -f "$(dir_of "$1" "$2")/pid"
        return 0
    fi
    kill "-$3" "$pid" 2>/dev/null
    if ! wait_gone "$1" "$2" 20; then
        say "WARNING: $1@$2 (pid $pid) does not end, sending SIGKILL"
        kill -KILL "$pid" 2>/dev/null
        wait_gone "$1" "$2" 5 || die "$1@$2 (pid $pid) cannot be ended"
    fi
    rm -f "$(dir_of "$1" "$2")/pid"
    say "INFO: $1@$2 stopped ($3)"
}

# SIGKILL to all of them before the first one is waited for.
kill_all() { # "ROLE N"...
    local item role n pid running=()
    for item in "$@"; do
        read -r role n <<<"$item"
        if pid="$(pid_of "$role" "$n")" && kill -KILL "$pid" 2>/dev/null; then
            running+=("$item $pid")
        else
            say "INFO: $role@$n not running"
        fi
    done
    for item in "${running[@]}"; do
        read -r role n pid <<<"$item"
        wait_gone "$role" "$n" 5 || die "$role@$n (pid $pid) cannot be ended"
        rm -f "$(dir_of "$role" "$n")/pid"
        say "INFO: $role@$n killed (pid $pid)"
    done
}

# ---- commands --------------------------------------------------------------------------------

shell() { "$bin_dir/pegasus-shell" --cluster "$metas_csv" "$@"; }

wait_healthy() { # TABLE PARTITIONS
    local second healthy=0
    for second in $(seq 0 119); do
        healthy="$(shell -c "app $1 -d" 2>/dev/null |
            sed -n 's/.*fully_healthy_partition_count *: *\([0-9]*\).*/\1/p')"
        [ "${healthy:-0}" = "$2" ] && return 0
        [ $((second % 5)) -eq 0 ] && say "waiting: ${healthy:-0} of $2 partitions of \"$1\" have all replicas"
        sleep 1
    done
    die "\"$1\" did not become healthy in two minutes, see $onebox_dir/*/log and */result"
}

cmd_start() {
    local metas=1 replicas=3 collectors=1 partitions=8 table=temp i
    while [ $# -gt 0 ]; do
        case $1 in
        -m | --meta_count) metas="${2:-}"; shift 2 ;;
        -r | --replica_count) replicas="${2:-}"; shift 2 ;;
        -c | --collector_count) collectors="${2:-}"; shift 2 ;;
        -p | --partition_count) partitions="${2:-}"; shift 2 ;;
        -a | --app_name) table="${2:-}"; shift 2 ;;
        --zookeeper) die "--zookeeper is not supported yet: the metadata is kept by the one meta server itself" ;;
        *) usage >&2; die "unknown option \"$1\"" ;;
        esac
    done
    for i in "$metas" "$replicas" "$collectors" "$partitions"; do
        [[ "$i" =~ ^[0-9]+$ ]] || die "\"$i\": expected a number"
    done
    [ "$metas" -eq 1 ] || die "-m $metas: several meta servers need ZooKeeper, which is not supported yet; use -m 1"
    [ "$replicas" -ge 1 ] && [ "$replicas" -le 90 ] || die "-r $replicas: expected 1 to 90 replica servers"
    [ "$collectors" -le 1 ] || die "-c $collectors: expected 0 or 1"
    [[ "$table" =~ ^[A-Za-z0-9_.:]+$ ]] || die "-a \"$table\": expected letters, digits, '_', '.' and ':'"

    while read -r role n; do
        if pid_of "$role" "$n" >/dev/null; then
            say "This onebox is already running:"
            cmd_list
            say "Nothing was changed. Use \"$0 stop\" first, or start_instance for a stopped part."
            return 0
        fi
    done < <(instances)

    [ "${ONEBOX_BUILD:-yes}" = no ] || build_servers
    # A stopped onebox is started as it was; options count for a new one only.
    if [ -z "$(instances)" ]; then
        for i in $(seq 1 "$metas"); do write_config meta "$i" "$metas" "$partitions" "$table"; done
        for i in $(seq 1 "$replicas"); do write_config replica "$i" "$metas" "$partitions" "$table"; done
        for i in $(seq 1 "$collectors"); do write_config collector "$i" "$metas" "$partitions" "$table"; done
        printf 'metas=%s\npartitions=%s\ntable=%s\n' "$metas" "$partitions" "$table" >"$onebox_dir/settings"
    else
        say "Starting the existing onebox in $onebox_dir again (\"clear\" deletes it)."
        source "$onebox_dir/settings"
    fi
    while read -r role n; do start_one "$role" "$n"; done < <(instances)
    metas_csv="$(meta_list "$metas")"
    wait_healthy "$table" "$partitions"

    say
    say "The cluster is healthy: all $partitions partitions of \"$table\" have their replicas. A first look:"
    local line
    for line in "set greeting first hello" "get greeting first"; do
        say "  > $line"
        shell -c "use $table; $line" | sed 's/^/    /'
        [ "${PIPESTATUS[0]}" -eq 0 ] || die "\"$line\" failed"
    done
    say
    say "Meta server     $metas_csv        (give this to clients)"
    while read -r role n; do
        printf '%-15s 127.0.0.1:%s   log %s\n' "$role@$n" "$(port_of "$role" "$n")" "$(dir_of "$role" "$n")/log"
    done < <(instances)
    say
    say "Next: $bin_dir/pegasus-shell --cluster $metas_csv"
    say "      $0 list | stop | clear | kill_instance -r 1 | start_instance -r 1"
}

cmd_list() {
    local role n pid any=1
    while read -r role n; do
        if pid="$(pid_of "$role" "$n")"; then
            printf '%-13s running   pid %-8s 127.0.0.1:%s\n' "$role@$n" "$pid" "$(port_of "$role" "$n")"
        else
            printf '%-13s stopped\n' "$role@$n"
        fi
        any=0
    done < <(instances)
    [ $any -eq 0 ] || say "no onebox in $onebox_dir"
}

cmd_stop() {
    local role n
    # Clients of the others first; the meta server last, so that it sees them go.
    while read -r role n; do stop_one "$role" "$n" TERM; done < <(instances | sort -r)
    while read -r role n; do
        [ "$role" = meta ] && stop_one "$role" "$n" TERM >/dev/null
    done < <(instances)
    return 0
}

cmd_clear() {
    cmd_stop
    rm -rf "$onebox_dir"/meta[0-9]* "$onebox_dir"/replica[0-9]* "$onebox_dir"/collector[0-9]* "$onebox_dir/settings"
    rmdir "$onebox_dir" 2>/dev/null
    say "cleared $onebox_dir"
}

cmd_instance() { # VERB OPTIONS
    local verb=$1 chosen=() role n item failed=0
    shift
    while [ $# -gt 0 ]; do
        case $1 in
        -m | --meta_id) role=meta ;;
        -r | --replica_id) role=replica ;;
        -c | --collector_id) role=collector ;;
        *) die "unknown option \"$1\": expected -m N, -r N or -c N" ;;
        esac
        [[ "${2:-}" =~ ^[0-9]+$ ]] || die "invalid ${role}_id \"${2:-}\": expected a number"
        [ -f "$(dir_of "$role" "$2")/config.ini" ] || die "invalid ${role}_id $2: this onebox has no $role@$2"
        chosen+=("$role $2")
        shift 2
    done
    [ ${#chosen[@]} -gt 0 ] || die "no meta_id or replica_id or collector set: give -m N, -r N or -c N"
    if [ "$verb" = kill ]; then
        kill_all "${chosen[@]}"
        return
    fi
    for item in "${chosen[@]}"; do
        read -r role n <<<"$item"
        case $verb in
        start) start_one "$role" "$n" || failed=1 ;;
        stop) stop_one "$role" "$n" TERM ;;
        restart) stop_one "$role" "$n" TERM; start_one "$role" "$n" || failed=1 ;;
        esac
    done
    return $failed
}

command="${1:-help}"
[ $# -gt 0 ] && shift
case $command in
start) cmd_start "$@" ;;
stop) cmd_stop ;;
list) cmd_list ;;
clear) cmd_clear ;;
start_instance | stop_instance | restart_instance | kill_instance)
    cmd_instance "${command%_instance}" "$@" ;;
help | -h | --help) usage ;;
*) usage >&2; die "unknown command \"$command\"" ;;
esac
