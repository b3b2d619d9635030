# shellcheck shell=bash
# Progress of a script on a terminal or in a log. Needs LOG and TOTAL; sourced, not run.

die() {
    clear_line
    printf '%s\n' "$*" >&2
    exit 1
}

# step NUMBER TEXT: something that needs no waiting.
step() { printf '[%s/%s] %s\n' "$1" "$TOTAL" "$2"; }

# follow NUMBER TEXT COUNTER COMMAND...: run a command with its output in LOG, and say how far it
# is: once a second on a terminal, every fifteen seconds elsewhere. COUNTER prints the how far.
follow() {
    local number=$1 text=$2 counter=$3 started=$SECONDS every=15 status=0 tick=0
    shift 3
    [ ! -t 1 ] || every=1
    : >"$LOG"
    step "$number" "$text ..."
    "$@" >>"$LOG" 2>&1 </dev/null &
    local child=$!
    trap 'kill "$child" 2>/dev/null; clear_line; exit 130' INT TERM
    while kill -0 "$child" 2>/dev/null; do
        sleep 0.2
        tick=$((tick + 1))
        [ $((tick % (every * 5))) -ne 0 ] || show "$number" "$("$counter")" $((SECONDS - started))
    done
    wait "$child" || status=$?
    trap - INT TERM
    clear_line
    [ "$status" -ne 0 ] || printf '[%s/%s] %s: done in %s s\n' "$number" "$TOTAL" "$text" $((SECONDS - started))
    return "$status"
}

show() {
    local line="[$1/$TOTAL]     ${2:+$2, }$3 s"
    if [ -t 1 ]; then printf '\r\033[K%s' "$line"; else printf '%s\n' "$line"; fi
}

clear_line() { [ ! -t 1 ] || printf '\r\033[K'; }

none() { :; }
