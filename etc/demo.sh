#!/bin/sh
# Plays the whole workflow against a canaryd of its own on a free port.
# usage: etc/demo.sh BUILD_DIR [canaryctl demo's options]
set -eu
build=$1
shift
dir=$(mktemp -d "${TMPDIR:-/tmp}/canaryd-demo.XXXXXX")
pid=
cleanup() {
    if [ -n "$pid" ]; then kill "$pid" 2>/dev/null && wait "$pid" || true; fi
    rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

"$build/canaryd" --listen=127.0.0.1:0 --state-dir="$dir/state" --runtime-dir="$dir/run" \
    >/dev/null 2>"$dir/log" &
pid=$!
tries=0
while [ ! -s "$dir/run/listen" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 300 ] || ! kill -0 "$pid" 2>/dev/null; then
        cat "$dir/log" >&2
        exit 1
    fi
    sleep 0.1
done
status=0
"$build/canaryctl" demo --url "http://$(cat "$dir/run/listen")" "$@" || status=$?
[ "$status" -eq 0 ] || { echo "the server's log:" >&2; tail -n 20 "$dir/log" >&2; }
exit "$status"
