# shellcheck shell=bash disable=SC2154
# requests_lib.sh - sourced by tests that send many requests with curl and expect statuses. Sources
# tests/lib.sh before. The last response is in $work/body.txt and $work/head.txt.

is() { # STATUS ARGUMENT...
    local got
    got=$(curl -sg --max-time 20 -o "$work/body.txt" -D "$work/head.txt" -w '%{http_code}' "${@:2}")
    [[ $got == "$1" ]] || {
        echo "$got: $(head -c 300 "$work/body.txt")"
        return 1
    }
}

# Each line: a status, and the arguments of a request.
all_are() {
    local line words
    while read -r line; do
        [[ -n $line ]] || continue
        eval "words=($line)" || return 1
        is "${words[@]}" || {
            echo "$line"
            return 1
        }
    done
}
