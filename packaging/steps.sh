# shellcheck shell=bash
# steps.sh - sourced by setup.sh: shows how far make and apt-get are, on a terminal in one line that
# changes, elsewhere in one line for each tenth.

# Shows a step of show_steps and show_packages, whose variables it uses.
show_step() { # TEXT
    local line
    done=$((done + 1))
    line="[$done/$steps] $1"
    if [[ -t 1 ]]; then
        open=$'\r\e[K' # what is printed next takes its place
        printf '%s%.*s' "$open" $((${COLUMNS:-80} - 1)) "$line"
    elif ((done >= steps || done * 10 / steps > tenth)); then
        tenth=$((done * 10 / steps))
        printf '%s\n' "$line"
    fi
}

# show_steps STEPS: of the lines that make prints to stdin, those of compiling and linking as
# `[n/STEPS] ...`, all others as they are.
show_steps() {
    local steps=$1 done=0 tenth=0 line open=''
    while IFS= read -r line; do
        if [[ $line =~ ^'  '(CC|CXX|LD|EMBED)\  ]]; then
            show_step "${line#  }"
        else
            printf '%s%s\n' "$open" "$line"
        fi
    done
    printf '%s' "$open"
}

# Of the lines that `apt-get install` prints to stdin, those that fetch, unpack and set up a package.
show_packages() {
    local steps=0 done=0 tenth=0 line open=''
    while IFS= read -r line; do
        if [[ $line =~ \ ([0-9]+)' newly installed, ' ]]; then
            steps=$((3 * BASH_REMATCH[1]))
        elif ((steps > 0)) && [[ $line == @(Get:|Unpacking |Setting up )* ]]; then
            [[ $line == Get:* ]] || ((done >= steps / 3)) || done=$((steps / 3)) # the rest was here
            show_step "$line"
        fi
    done
    printf '%s' "$open"
}
