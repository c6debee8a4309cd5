#!/usr/bin/env bash
# Whether each test that docs/faults.md names exists.
set -u
bad=0
while IFS=: read -r file name; do
    name=${name# }
    if ! grep -qs "^static void test_$name(" "tests/$file.c"; then
        echo "docs/faults.md: there is no test_$name in tests/$file.c"
        bad=1
    fi
done < <(grep -o '`\(unit\|integration\)/test_[a-z_]*: [a-z0-9_]*`' docs/faults.md | tr -d '`' | sort -u)
exit $bad
