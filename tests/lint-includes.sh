#!/bin/sh
# The direction of includes: common <- proto <- {supervisor, worker, ctl}, judge
# (on common) below supervisor and ctl; inside the supervisor, a room includes
# only rooms below it; *_private.h stays in its own module. Prints what breaks it.
set -eu

allowed_of() { # folder -> the folders it may include
    case $1 in
    common) echo "common" ;;
    proto) echo "common proto" ;;
    judge) echo "common judge" ;;
    worker) echo "common proto worker" ;;
    supervisor) echo "common proto judge supervisor" ;;
    ctl) echo "common proto judge ctl" ;;
    esac
}

# The supervisor's rooms, bottom to top; a room may include those of lines above its own.
rooms="
address beneath decimal
chores features gate line memory modelref notify peer plain_request problems python quarantine raw_message settings spawn token turn words
role
access conns listen
port
channel cli exporter gateway hello journal places sample_log state
audit doors judge loader proc store
seat
fleet
router
rollout
api_admin api_predict api_status
drain
main
"

level_of() { # room -> its line, or nothing
    echo "$rooms" | awk -v room="$1" '{ for (i = 1; i <= NF; i++) if ($i == room) print NR }'
}

module_of() { # supervisor/proc_life.c -> proc
    name=$(basename "$1" | sed 's/\.[ch]$//')
    [ -n "$(level_of "$name")" ] || name=$(echo "$name" | sed 's/_[a-z]*$//')
    echo "$name"
}

bad=0
complain() { echo "$1"; bad=1; }

for file in common/*.[ch] proto/*.[ch] judge/*.[ch] worker/*.[ch] supervisor/*.[ch] ctl/*.[ch]; do
    folder=$(dirname "$file")
    for header in $(sed -n 's/^#include "\(.*\)"$/\1/p' "$file"); do
        target=$(dirname "$header")
        case " $(allowed_of "$folder") " in
        *" $target "*) ;;
        *) complain "$file includes $header: $folder may include only: $(allowed_of "$folder")" ;;
        esac
        case $header in
        *_private.h)
            [ "$(basename "$header" | sed 's/_private\.h$//')" = "$(basename "$file" | sed 's/[_.].*//')" ] ||
                complain "$file includes $header: it is private to another module"
            ;;
        esac
        if [ "$folder" = supervisor ] && [ "$target" = supervisor ]; then
            mine=$(level_of "$(module_of "$file")") theirs=$(level_of "$(module_of "$header")")
            if [ -z "$mine" ] || [ -z "$theirs" ]; then
                complain "$file includes $header: a room that tests/lint-includes.sh does not list"
            elif [ "$(module_of "$file")" != "$(module_of "$header")" ] && [ "$theirs" -ge "$mine" ]; then
                complain "$file includes $header: calls go down, and that is not below"
            fi
        fi
    done
done
exit $bad
