# shellcheck shell=bash
# Functions of the clients that are commands. Sourced by their scripts, never run.
set -uo pipefail
cd "$WORK" || exit 1
export AWS_CONFIG_FILE=$WORK/aws-config AWS_SHARED_CREDENTIALS_FILE=/dev/null
names=(empty one small large)

# run_operations NAME...: runs the functions check_NAME, and prints the outcome of each.
run_operations() {
    local name status
    for name in "$@"; do
        # No condition around it: that would turn -e off.
        (set -e; "check_$name") >"$WORK/$name.log" 2>&1
        status=$?
        if [ "$status" = 0 ]; then
            printf '%s\tok\n' "$name"
        else
            printf '%s\tfailed\t%s\n' "$name" "$(tail -n 4 "$WORK/$name.log" | tr '\n\t' '  ')"
        fi
    done
}

# fails_with TEXT COMMAND...: the command must fail, and say TEXT.
fails_with() {
    local text=$1
    shift
    if "$@" >"$WORK/told" 2>&1; then
        echo "'$*' did not fail"
        return 1
    fi
    grep -qF -e "$text" "$WORK/told" || {
        cat "$WORK/told"
        echo "'$*' failed without '$text'"
        return 1
    }
}

# part FILE FIRST LENGTH: prints bytes of the file.
part() {
    tail -c +"$(($2 + 1))" "$1" | head -c "$3"
}

# sizes: prints the lengths and names of the files that `put` and `multipart` store.
sizes() {
    local name
    for name in $(printf '%s\n' "${names[@]}" | sort); do
        printf '%d %s\n' "$(wc -c <"$FILES/$name")" "$name"
    done
}

# folder FOLDER: makes a folder of files to synchronize. They are older than any object, whose time has no fractions.
folder() {
    rm -rf "$1"
    mkdir -p "$1/below/two words"
    cp "$FILES/small" "$1/a"
    cp "$FILES/one" "$1/below/b+c%d"
    cp "$FILES/by-sealwax" "$1/below/two words/ü"
    touch -t 202601010000 "$1/a" "$1/below/b+c%d" "$1/below/two words/ü"
}
