#!/bin/sh
# What is left of the goodput when twice the peak is offered. Peak (closed loop)
# and overload (open loop at twice that, over as many connections) alternate, on
# loopback. With MAX_IN_FLIGHT below CONNECTIONS requests are refused.
# usage: [CONNECTIONS=256] [MAX_IN_FLIGHT=1024] tests/bench/overload.sh BUILD_DIR [ROUNDS] [SECONDS]
set -eu
build=$1 rounds=${2:-3} seconds=${3:-5} connections=${CONNECTIONS:-256}
dir=$(mktemp -d "${TMPDIR:-/tmp}/canaryd-bench.XXXXXX")
pid=
cleanup() {
    if [ -n "$pid" ]; then kill "$pid" 2>/dev/null && wait "$pid" || true; fi
    rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
"$build/canaryd" --listen=127.0.0.1:0 --state-dir="$dir/state" --runtime-dir="$dir/run" \
    --max-in-flight="${MAX_IN_FLIGHT:-1024}" >/dev/null 2>"$dir/log" &
pid=$!
tries=0
while [ ! -s "$dir/run/listen" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || { cat "$dir/log" >&2; exit 1; }
    sleep 0.1
done
port=$(sed 's/.*://' "$dir/run/listen")
good_of() { echo "$1" | sed 's|.* good \([0-9]*\)/s.*|\1|'; }

round=1
while [ "$round" -le "$rounds" ]; do
    line=$("$build/tests/bench/openloop" "$port" 0 "$seconds" "$connections")
    peak=$(good_of "$line")
    echo "peak      $line"
    line=$("$build/tests/bench/openloop" "$port" $((2 * peak)) "$seconds" "$connections")
    echo "overload  $line"
    echo "round $round: goodput at twice the peak / peak = $(awk "BEGIN { printf \"%.3f\", $(good_of "$line") / $peak }")"
    round=$((round + 1))
done
