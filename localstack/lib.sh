# shellcheck shell=bash
# Functions shared by the scripts that run test servers and Python tools. Sourced, never run.
#
# A server runs in a separate session, so it outlives the script that started it, and Ctrl-C in a terminal doesn't reach
# it. Its state (venv, pid file, log, data) is one directory under target/servers/.

# shellcheck disable=SC2034 # used by the scripts that source this file
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
servers_dir=$root/target/servers

# The test servers' account replaces the developer's AWS settings (profile, endpoint, credentials).
for name in $(compgen -e AWS_ || true); do
    unset "$name"
done
unset name
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null

# The servers listen on the loopback interface; requests to them bypass any proxy of the environment.
export NO_PROXY="127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}"
export no_proxy=$NO_PROXY

say() {
    printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2
}

die() {
    say "error: $*"
    exit 1
}

# need PROGRAM...: fails, and says why on standard output, if a program is missing.
need() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || {
            echo "$program is missing"
            return 1
        }
    done
}

# check_port PORT HIGHEST: dies unless PORT is a port number, HIGHEST at most.
check_port() {
    [[ $1 =~ ^[1-9][0-9]{0,4}$ ]] && [ "$1" -le "$2" ] || die "'$1' is not a port between 1 and $2"
}

port_open() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# port_holder PORT: prints the process that listens there, if this user can see it.
port_holder() {
    local holder=
    if command -v ss >/dev/null; then
        holder=$(ss -Hltnp "sport = :$1" 2>/dev/null | sed -n 's/.*users:((\(.*\)))$/\1/p' | head -n 1) || true
    elif command -v lsof >/dev/null; then
        holder=$(lsof -nP -iTCP:"$1" -sTCP:LISTEN -Fpc 2>/dev/null | tr '\n' ' ') || true
    fi
    printf '%s\n' "${holder:-a process that this user cannot see}"
}

# require_free_port PORT VARIABLE: dies if a process answers at PORT. VARIABLE is the setting that chooses another port.
require_free_port() {
    ! port_open "$1" || die "port $1 is in use by another process ($(port_holder "$1")). Stop it, or set $2 to a free port."
}

# find_python: prints SEALWAX_PYTHON if set, else Python 3.11, which the requirements are pinned for, else a newer one.
find_python() {
    local candidate
    for candidate in ${SEALWAX_PYTHON:+"$SEALWAX_PYTHON"} python3.11 python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "no Python 3.11 or newer found; SEALWAX_PYTHON names one"
}

# ensure_venv VENV REQUIREMENTS: creates VENV, again if REQUIREMENTS, the interpreter or VENV's path has changed.
ensure_venv() {
    local venv=$1 requirements=$2 python stamp
    python=$(find_python)
    stamp=$("$python" -c '
import hashlib, os, sys
digest = hashlib.sha256(open(sys.argv[1], "rb").read())
digest.update(repr((sys.version, *map(os.path.realpath, (sys.executable, sys.argv[2])))).encode())
print(digest.hexdigest())' "$requirements" "$venv")
    if [ "$(cat "$venv/stamp" 2>/dev/null)" = "$stamp" ] && "$venv/bin/python" -c '' 2>/dev/null; then
        return
    fi
    say "making a Python environment from ${requirements#"$root/"} (a minute or two)"
    rm -rf "$venv"
    mkdir -p "$(dirname "$venv")"
    "$python" -m venv "$venv" ||
        die "'$python -m venv' failed; on Debian and Ubuntu the package python3-venv is missing"
    # The file pins every package, so pip resolves no dependency.
    "$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps --requirement "$requirements" >&2 ||
        die "pip could not install ${requirements#"$root/"}"
    printf '%s\n' "$stamp" >"$venv/stamp"
}

# lock STATE: lets one script at a time change a server's state, on machines with flock.
lock() {
    mkdir -p "$1"
    exec 9>"$1/lock"
    ! command -v flock >/dev/null || flock -w 600 9 || die "another script holds $1/lock"
}

# launch STATE PORT PROGRAM ARGUMENT...: runs the server, detached, with STATE as its working directory.
launch() {
    local state=$1 port=$2
    shift 2
    # Python, because some systems lack setsid(1). The server inherits neither the lock nor make's pipes.
    "$state/venv/bin/python" -c '
import os, sys
os.setsid()
os.closerange(3, 1024)
os.chdir(sys.argv[1])
os.execv(sys.argv[2], sys.argv[2:])' "$state" "$@" </dev/null >"$state/log" 2>&1 &
    printf '%s\n' "$!" >"$state/pid"
    printf '%s\n' "$port" >"$state/port"
}

# running_pid STATE: prints the server's pid; fails if the server isn't running. The process's command line must name the
# state directory, which excludes recycled pids and zombies.
running_pid() {
    local pid arguments
    pid=$(cat "$1/pid" 2>/dev/null) || return 1
    [[ $pid =~ ^[1-9][0-9]*$ ]] || return 1
    if [ -d /proc/self ]; then
        arguments=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || return 1
    else
        arguments=$(ps -ww -o args= -p "$pid") || return 1
    fi
    [[ $arguments == *"$1/"* ]] || return 1
    printf '%s\n' "$pid"
}

# say_running STATE: reports the running server; fails if the server isn't running.
say_running() {
    local pid
    pid=$(running_pid "$1") || return 1
    say "running (pid $pid) at http://127.0.0.1:$(cat "$1/port")"
}

# on_port STATE PORT: succeeds if the server answers at PORT; dies if it runs at another port.
on_port() {
    running_pid "$1" >/dev/null || return 1
    [ "$(cat "$1/port")" = "$2" ] && port_open "$2" || die "it runs, but does not answer on port $2: stop it first"
}

# await_ready STATE SECONDS COMMAND...: waits until COMMAND succeeds. If the server ends first or time runs out, prints
# the end of the log and fails.
await_ready() {
    local state=$1 seconds=$2 pid reason deadline
    shift 2
    pid=$(cat "$state/pid")
    deadline=$((SECONDS + seconds))
    until reason=$("$@" 2>&1); do
        if ! kill -0 "$pid" 2>/dev/null; then
            reason="it ended by itself"
        elif [ "$SECONDS" -lt "$deadline" ]; then
            sleep 0.2
            continue
        else
            reason="not ready after $seconds s: $reason"
        fi
        say "error: $reason"
        say "the end of ${state#"$root/"}/log:"
        tail -n 30 "$state/log" >&2
        return 1
    done
}

# stop_server STATE SECONDS: sends TERM to the process group, KILL after SECONDS, then checks that its port is free.
stop_server() {
    local state=$1 deadline=$((SECONDS + $2)) pid port
    if pid=$(running_pid "$state"); then
        port=$(cat "$state/port")
        kill -TERM -- "-$pid" 2>/dev/null || true
        while [ "$SECONDS" -lt "$deadline" ] && running_pid "$state" >/dev/null; do
            sleep 0.1
        done
        kill -KILL -- "-$pid" 2>/dev/null || true
        deadline=$((SECONDS + 10))
        while running_pid "$state" >/dev/null || port_open "$port"; do
            [ "$SECONDS" -lt "$deadline" ] || die "pid $pid or port $port ($(port_holder "$port")) is still there after KILL"
            sleep 0.1
        done
    fi
    rm -f "$state/pid" "$state/port"
}

# undo_start STATE: until `trap - EXIT`, stops the server when the script ends for any reason.
undo_start() {
    # shellcheck disable=SC2064 # expanded now on purpose
    trap "trap '' INT TERM HUP; stop_server '$1' 2" EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
}
