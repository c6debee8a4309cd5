#!/bin/sh
# Installs what building (and testing, linting, exporting .joblib models) needs
# and is not there yet: Debian and Ubuntu, as root or through sudo. Elsewhere it
# says what to install. Does nothing, quickly, when all is there.
# usage: etc/install-deps.sh build|test|python|lint|machine|bench|callgrind ...
set -eu

packages_of() {
    case $1 in
    build) echo gcc libc6-dev make pkg-config libevent-dev libmsgpack-dev libcjson-dev \
        r-mathlib libmd-dev libseccomp-dev ;;
    test) echo libcmocka-dev procps ;;
    python) echo python3 python3-sklearn python3-joblib python3-msgpack ;;
    lint) echo clang-format clang-tidy cppcheck ;;
    machine) echo systemd systemd-container ;; # for tests/integration/test_systemd
    bench) echo wrk nginx-light haproxy python3-fastapi python3-uvicorn python3-uvloop \
        python3-httptools ;;
    callgrind) echo valgrind python3 ;; # for make instructions
    *)
        echo "install-deps: unknown group '$1'; expected build, test, python, lint, machine, bench or callgrind" >&2
        exit 64
        ;;
    esac
}

missing() { # packages... : those that dpkg does not list as installed
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
            echo "$package"
    done
}

wanted=
for group in "$@"; do wanted="$wanted $(packages_of "$group")"; done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    # No Debian: trust what is there, and say what belongs there.
    if command -v cc >/dev/null && command -v pkg-config >/dev/null &&
        pkg-config --exists libevent libcjson libRmath libmd libseccomp; then
        exit 0
    fi
    echo "install-deps: this is not Debian or Ubuntu; install what is called there:$wanted" >&2
    exit 69
fi

# shellcheck disable=SC2086 # words, on purpose
packages=$(missing $wanted)
[ -n "$packages" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif command -v sudo >/dev/null; then
    as_root=sudo
else
    echo "install-deps: as root, run: apt-get install" $packages >&2
    exit 77
fi
echo "  APT   $(echo $packages)"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086
if ! { $as_root apt-get update -qq &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "install-deps: apt-get could not install:" $packages >&2
    exit 69
fi
