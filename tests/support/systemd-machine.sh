#!/bin/sh
# Boots systemd as PID 1 on a throw-away overlay of / and runs one program of
# this build in there: tests/integration/test_systemd, which says what it finds.
# All is made in namespaces of its own (mounts, processes, control group), so it
# goes away with this process, however that ends, and the machine's own systemd
# is never asked. Exit code: the program's; 77 with the reason when such a
# machine cannot be had here.
# usage: tests/support/systemd-machine.sh BUILD_DIR
set -eu
seconds=90 # for all of it

no_machine() {
    echo "SKIP test_systemd: $*"
    exit 77
}

# --- Outside: a control group, and the namespaces ------------------------------

# The cgroup2 hierarchy is /sys/fs/cgroup itself or, on hybrid machines, beneath it.
find_cgroup() {
    for top in /sys/fs/cgroup /sys/fs/cgroup/unified; do
        if [ "$(stat -f -c %T "$top" 2>/dev/null)" = cgroup2fs ]; then
            echo "$top$(sed -n 's/^0:://p' /proc/self/cgroup)/canaryd-test.$$"
            return
        fi
    done
}

# The processes in it may take a moment to go.
remove_cgroup() { # directory
    tries=0
    while [ -d "$1" ] && [ "$tries" -lt 40 ]; do
        find "$1" -depth -type d -exec rmdir {} \; 2>/dev/null || sleep 0.05
        tries=$((tries + 1))
    done
}

# What a run that was killed with SIGKILL could not remove: empty by now.
remove_old_cgroups() {
    for old in "${cgroup%.*}".*; do
        [ ! -d "$old" ] || [ -d "/proc/${old##*.}" ] || remove_cgroup "$old"
    done
}

outside() {
    [ "$(id -u)" -eq 0 ] || no_machine "not root"
    for tool in systemd-nspawn unshare setpriv; do
        command -v $tool >/dev/null || no_machine "$tool is not there; run etc/install-deps.sh machine"
    done
    cgroup=$(find_cgroup)
    [ -n "$cgroup" ] || no_machine "there is no cgroup2 hierarchy"
    remove_old_cgroups
    mkdir "$cgroup" 2>/dev/null || no_machine "$cgroup cannot be made"
    child=
    trap 'remove_cgroup "$cgroup"' EXIT
    trap '[ -z "$child" ] || kill -KILL "$child"; wait; exit 143' INT TERM HUP
    CANARYD_STAGE=namespaces sh -c '
        echo 0 >"$1/cgroup.procs" || { echo "SKIP test_systemd: $1 cannot be joined"; exit 77; }
        exec setpriv --pdeathsig KILL unshare --mount --propagation private --cgroup --pid \
            --fork --kill-child --mount-proc "$2" "$3"' sh "$cgroup" "$0" "$build" &
    child=$!
    status=0
    wait "$child" || status=$?
    exit "$status"
}

# --- In the namespaces: the root file system, and the boot ----------------------

write_units() { # the root: nothing of this machine's is started, only what we need
    units=$1/etc/systemd/system
    rm -rf "$units" "$1/etc/fstab" "$1/etc/machine-id" "$1/etc/canaryd" "$1/var/lib/canaryd" \
        "$1/usr/local/share/canaryd"
    mkdir -p "$units"
    cat >"$units/default.target" <<END
[Unit]
Requires=basic.target canaryd-test.service
After=basic.target
AllowIsolate=yes
END
    cat >"$units/canaryd-test.service" <<END
[Unit]
After=basic.target
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
WorkingDirectory=/mnt/canaryd
Environment=CANARYD_IN_MACHINE=1 CANARYD_BUILD=$build PYTHONDONTWRITEBYTECODE=1
ExecStartPre=make -s BUILD=$build install
ExecStart=sh -c '$build/tests/integration/test_systemd; echo \$\$? >/mnt/status'
StandardOutput=truncate:/mnt/out
StandardError=inherit
END
}

in_namespaces() {
    mount -t tmpfs -o mode=755 canaryd /run
    mkdir /run/machine
    cd /run/machine
    mkdir upper work root
    mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work canaryd root 2>&1 ||
        no_machine "no overlay of / can be mounted"
    [ -x root/lib/systemd/systemd ] || no_machine "there is no systemd on the root file system"
    mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>&1 || no_machine "no cgroup2 can be mounted"
    write_units "$PWD/root"
    mkdir -p root/mnt/canaryd
    : >root/mnt/out
    boot_status=0
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 timeout -k 2 "$seconds" systemd-nspawn --quiet \
        --register=no --keep-unit --machine=canaryd-test --directory="$PWD/root" --boot \
        --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" \
        --private-network --console=pipe --bind-ro="$source:/mnt/canaryd" \
        </dev/null >boot 2>&1 || boot_status=$?
    cat root/mnt/out
    if [ ! -s root/mnt/out ]; then
        tail -n 5 boot
        no_machine "systemd-nspawn does not boot here (exit $boot_status)"
    fi
    # No status: the installation failed, or the time was up.
    status=$(cat root/mnt/status 2>/dev/null || echo 1)
    exit "$status"
}

build=$1
source=$PWD
if [ "${CANARYD_STAGE:-}" = namespaces ]; then in_namespaces; else outside; fi
