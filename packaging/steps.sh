# shellcheck shell=bash
# steps.sh - sourced by ./run: shows how far make is.

# show_steps STEPS: of the lines that make prints to stdin, those of compiling and linking as
# `[n/STEPS] ...`: on a terminal one line that changes, elsewhere one for each tenth. All other lines
# as they are.
show_steps() {
    local steps=$1 done=0 tenth=0 line open=''
    while IFS= read -r line; do
        if [[ ! $line =~ ^'  '(CC|CXX|LD)\  ]]; then
            printf '%s%s\n' "$open" "$line"
            continue
        fi
        done=$((done + 1))
        line="[$done/$steps] ${line#  }"
        if [[ -t 1 ]]; then
            open=$'\r\e[K' # what is printed next takes its place
            printf '%s%.*s' "$open" $((${COLUMNS:-80} - 1)) "$line"
        elif ((done >= steps || done * 10 / steps > tenth)); then
            tenth=$((done * 10 / steps))
            printf '%s\n' "$line"
        fi
    done
    printf '%s' "$open"
}
