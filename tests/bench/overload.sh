#!/bin/sh
# What is left of the goodput when twice the peak is offered. Peak (closed loop)
# and overload (open loop at twice that, over as many connections) alternate, on
# loopback, each with a server of its own: the peak's never refuses. With
# MAX_IN_FLIGHT below CONNECTIONS the other one does. As the load shares the cores
# with the server, the CPU time that the server took, workers included, is
# printed, and the goodput per second of it compared as well.
# usage: [CONNECTIONS=256] [MAX_IN_FLIGHT=1024] tests/bench/overload.sh BUILD_DIR [ROUNDS] [SECONDS]
set -eu
build=$1 rounds=${2:-3} seconds=${3:-5} connections=${CONNECTIONS:-256}
dir=$(mktemp -d "${TMPDIR:-/tmp}/canaryd-bench.XXXXXX")
peak_pid='' over_pid=''
cleanup() {
    for pid in $peak_pid $over_pid; do
        kill "$pid" 2>/dev/null && wait "$pid" || true
    done
    rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# start NAME MAX_IN_FLIGHT: sets pid
start() {
    "$build/canaryd" --listen=127.0.0.1:0 --state-dir="$dir/$1" --runtime-dir="$dir/$1/run" \
        --max-in-flight="$2" >/dev/null 2>"$dir/$1.log" &
    pid=$!
    tries=0
    while [ ! -s "$dir/$1/run/listen" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || { cat "$dir/$1.log" >&2; exit 1; }
        sleep 0.1
    done
}

# CPU time of a server and its workers so far, in ticks of 10 ms
ticks_of() {
    for p in $1 $(cat "/proc/$1/task/$1/children"); do
        sed 's/.*) //' "/proc/$p/stat"
    done | awk '{ n += $12 + $13 } END { print n }'
}

# load NAME PID RATE: prints a line, sets good and cpu (in seconds)
load() {
    port=$(sed 's/.*://' "$dir/$1/run/listen")
    before=$(ticks_of "$2")
    line=$("$build/tests/bench/openloop" "$port" "$3" "$seconds" "$connections")
    cpu=$(awk "BEGIN { print ($(ticks_of "$2") - $before) / 100 }")
    echo "$1 $line server_cpu_s $cpu"
    good=$(echo "$line" | sed 's|.* good \([0-9]*\)/s.*|\1|')
}

start peak "$((connections + 1))"
peak_pid=$pid
start over "${MAX_IN_FLIGHT:-1024}"
over_pid=$pid
round=1
while [ "$round" -le "$rounds" ]; do
    load peak "$peak_pid" 0
    peak=$good peak_cpu=$cpu
    load over "$over_pid" $((2 * peak))
    echo "round $round: goodput at twice the peak / peak = $(awk "BEGIN {
        printf \"%.3f, per CPU time %.3f\", $good / $peak, $good / $cpu * $peak_cpu / $peak }")"
    round=$((round + 1))
done
