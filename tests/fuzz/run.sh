#!/usr/bin/env bash
# Runs fuzzers, as many side by side as there are cores, each for so many seconds
# from its committed corpus; what a run adds to it stays in the build. A finding is
# left there too, and its path is said.
# usage: tests/fuzz/run.sh BUILD SECONDS FUZZER...
set -u
build=$1 seconds=$2
shift 2
jobs=$(nproc 2>/dev/null || echo 2)

log_of() { # fuzzer
    echo "$build/found/$1/log"
}

run_one() { # fuzzer: a failure leaves a mark beside its log
    local name=${1#fuzz_} found=$build/found/$1
    mkdir -p "$build/corpus/$name" "$found"
    rm -f "$found/failed"
    "$build/tests/fuzz/$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -max_len=8192 -print_final_stats=1 -artifact_prefix="$found/" \
        "$build/corpus/$name" "tests/fuzz/corpus/$name" >"$(log_of "$1")" 2>&1 </dev/null ||
        touch "$found/failed"
    tell "$1"
}

tell() { # fuzzer: in one write, for others are telling too
    local log
    log=$(log_of "$1")
    if [ ! -e "${log%/log}/failed" ]; then
        printf '  PASS  %-16s %9s inputs, %s\n' "$1" \
            "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
            "$(sed -n 's/.*\(cov: [0-9]*\) ft.*/\1/p' "$log" | tail -n 1)"
    else
        printf '  FAIL  %-16s see %s\n%s\n' "$1" "$log" \
            "$(grep -E "ERROR|SUMMARY|Test unit written|runtime error" "$log" | head -n 5)"
    fi
}

running=0
for fuzzer in "$@"; do
    run_one "$fuzzer" &
    running=$((running + 1))
    if [ "$running" -ge "$jobs" ]; then wait -n; running=$((running - 1)); fi
done
wait

for fuzzer in "$@"; do
    [ ! -e "$build/found/$fuzzer/failed" ] || exit 1
done
