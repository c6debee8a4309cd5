#!/usr/bin/env bash
# Runs test programs side by side and says in one line each how they went; a
# failing one's whole output follows. The last line counts test cases.
# usage: tests/run.sh [-j JOBS] PROGRAM...
set -u
jobs=$(nproc 2>/dev/null || echo 2)
if [ "${1:-}" = -j ]; then jobs=$2; shift 2; fi
out=$(mktemp -d "${TMPDIR:-/tmp}/canaryd-tests.XXXXXX")
trap 'rm -rf "$out"' EXIT
export TMPDIR=$out # so that even a test that is killed leaves nothing behind
if [ -t 1 ]; then red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'; else red='' green='' plain=''; fi

name_of() { # program: unit/test_x, for a unit and an integration test may share a name
    echo "${1##*/tests/}"
}

run_one() { # program: leaves its output, exit code and seconds under $out
    local name start
    name=$(name_of "$1")
    mkdir -p "$out/$(dirname "$name")"
    start=$(date +%s%N)
    timeout -k 5 "${TEST_TIMEOUT:-120}" "$1" >"$out/$name.out" 2>&1 </dev/null
    echo $? >"$out/$name.rc"
    echo $(( ($(date +%s%N) - start) / 1000000 )) >"$out/$name.ms"
}

count() { # marker file: how many cases cmocka reported so
    grep -c "^\[ *$1 *\] [a-z]" "$2"
}

running=0
for program in "$@"; do
    run_one "$program" &
    running=$((running + 1))
    if [ "$running" -ge "$jobs" ]; then wait -n; running=$((running - 1)); fi
done
wait

passed=0 failed=0 skipped=0
for program in "$@"; do
    name=$(name_of "$program") file=$out/$(name_of "$program").out
    rc=$(cat "$out/$name.rc") ms=$(cat "$out/$name.ms")
    ok=$(count OK "$file") bad=$(count FAILED "$file") left=$(count SKIPPED "$file")
    # cmocka says FAILED and SKIPPED as it happens, in a headline and in a list at the end.
    bad=$((bad / 2)) left=$((left / 2))
    if [ "$rc" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + left))
    if [ "$rc" -eq 0 ]; then
        printf '  %sPASS%s  %-34s %3d cases %6d ms\n' "$green" "$plain" "$name" "$ok" "$ms"
        grep '^SKIP' "$file" | sed 's/^/        /'
    else
        printf '  %sFAIL%s  %-34s exit %d after %d ms; its output:\n' "$red" "$plain" "$name" "$rc" "$ms"
        sed 's/^/        /' "$file"
    fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
