#!/usr/bin/env bash
# Runs fuzzers one after the other, each for so many seconds from its committed
# corpus; what a run adds to it stays in the build. A finding is left there too,
# and its path is said.
# usage: tests/fuzz/run.sh BUILD SECONDS FUZZER...
set -u
build=$1 seconds=$2
shift 2
failed=0
for fuzzer in "$@"; do
    name=${fuzzer#fuzz_} found=$build/found/$fuzzer
    mkdir -p "$build/corpus/$name" "$found"
    log=$found/log
    if "$build/tests/fuzz/$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -max_len=8192 -print_final_stats=1 -artifact_prefix="$found/" \
        "$build/corpus/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1; then
        printf '  PASS  %-16s %9s inputs, %s\n' "$fuzzer" \
            "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
            "$(sed -n 's/.*\(cov: [0-9]*\) ft.*/\1/p' "$log" | tail -n 1)"
    else
        failed=1
        printf '  FAIL  %-16s see %s\n' "$fuzzer" "$log"
        grep -E "ERROR|SUMMARY|Test unit written|runtime error" "$log" | head -n 5
    fi
done
exit $failed
