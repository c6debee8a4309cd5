#!/usr/bin/env bash
# Whether each test exists that docs/faults.md, docs/security.md and the list of
# hostile inputs name, and docs/http.md names each status of the table of problems.
set -u
bad=0
for page in docs/faults.md docs/security.md; do
    while IFS=: read -r file name; do
        name=${name# }
        if ! grep -qs "^static void test_$name(" "tests/$file.c"; then
            echo "$page: there is no test_$name in tests/$file.c"
            bad=1
        fi
    done < <(grep -o '`\(unit\|integration\)/test_[a-z0-9_]*: [a-z0-9_]*`' $page | tr -d '`' | sort -u)
done
for status in $(grep -o '^    {"[a-z0-9-]*", *[0-9]*' supervisor/problems.c | grep -o '[0-9]*$' | sort -u); do
    if ! grep -q "\b$status\b" docs/http.md; then
        echo "docs/http.md: there is no $status, which supervisor/problems.c has"
        bad=1
    fi
done
list=tests/data/hostile_inputs.txt
while read -r _ case file name; do
    file=${file%:}
    if [ "$file" != - ] && ! grep -qs "^static void test_$name(" "tests/$file.c"; then
        echo "$list: $case: there is no test_$name in tests/$file.c"
        bad=1
    fi
done < <(grep -v '^#' $list)
exit $bad
