# shellcheck shell=bash disable=SC2154
# report.sh - sourced by bench/run: prints the machine, and medians with their spread as a table and
# as JSON. Results are lines of key=value pairs, the first three server, case and round.

machine() {
    echo "date=$(date -u +%FT%TZ)"
    echo "cpu=$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)"
    echo "cores=$(nproc)"
    echo "memory_gib=$(awk '$1 == "MemTotal:" { printf "%.0f", $2 / 1048576 }' /proc/meminfo)"
    echo "kernel=$(uname -sr | sed 's/-.*//')"
    echo "load_average=$(cut -d ' ' -f 1-3 /proc/loadavg)"
    echo "file_system=$(df --output=fstype "$base" | tail -n 1)"
    "$BUILD/bench/fsync_probe" "$work"
}

# Prints a line for each server, case and figure: median, least and greatest.
summaries() {
    awk '{
        delete has
        for (i = 1; i <= NF; i++) { split($i, pair, "="); has[pair[1]] = pair[2] }
        who = has["server"] " " has["case"]
        for (i = 4; i <= NF; i++) {
            split($i, pair, "=")
            at = who " " pair[1]
            if (!(at in count)) order[++figures] = at
            value[at, ++count[at]] = pair[2]
        }
    }
    END {
        for (f = 1; f <= figures; f++) {
            at = order[f]
            n = count[at]
            for (a = 1; a <= n; a++) v[a] = value[at, a]
            if (v[1] !~ /^-?[0-9.]+(e[-+]?[0-9]+)?$/) { print at, v[1], v[1], v[1]; continue }
            for (a = 1; a <= n; a++) for (b = a + 1; b <= n; b++)
                if (v[b] + 0 < v[a] + 0) { t = v[a]; v[a] = v[b]; v[b] = t }
            m = n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
            print at, m, v[1], v[n]
        }
    }' "$work/results"
}

# Prints a table for each case; a row for each line KEY|LABEL|FORMAT for which a server has a
# figure.
table() { # ROWS
    summaries | ROWS=$1 awk -v servers="${servers[*]}" -v rounds="$RUNS" '
    function cell(at, format) {
        if (!(at in median)) return "-"
        if (median[at] !~ /^-?[0-9.]/) return substr(median[at], 1, 26)
        if (rounds == 1 || least[at] == greatest[at]) return sprintf(format, median[at])
        return sprintf(format " (" format "-" format ")", median[at], least[at], greatest[at])
    }
    function line(what, key, label, format,   i, text, any) {
        text = sprintf("%-38s", label)
        for (i = 1; i <= n; i++) {
            any = any || ((server[i] " " what " " key) in median)
            text = text sprintf(" %26s", cell(server[i] " " what " " key, format))
        }
        if (any) print text
    }
    { at = $1 " " $2 " " $3; median[at] = $4; least[at] = $5; greatest[at] = $6 }
    !($2 in known) { known[$2] = 1; case_[++cases] = $2 }
    END {
        n = split(servers, server, " ")
        r = split(ENVIRON["ROWS"], row, "\n")
        for (c = 1; c <= cases; c++) {
            text = sprintf("%-38s", case_[c] == "-" ? "" : "case " case_[c])
            for (i = 1; i <= n; i++) text = text sprintf(" %26s", server[i])
            print text
            for (i = 1; i <= r; i++) {
                split(row[i], part, "|")
                line(case_[c], part[1], part[2], part[3])
            }
            line(case_[c], "failed", "FAILED", "%s")
            line(case_[c], "unsettled", "rounds that did not settle", "%d")
            print ""
        }
    }'
}

# Prints KEY=VALUE lines as members of a JSON object; values that look like numbers are numbers.
json_members() {
    sed 's/\\/\\\\/g; s/"/\\"/g' | awk '{
        key = $0; sub(/=.*/, "", key)
        value = $0; sub(/^[^=]*=/, "", value)
        if (value !~ /^-?[0-9]+(\.[0-9]+)?$/) value = "\"" value "\""
        printf "%s    \"%s\": %s", (NR > 1 ? ",\n" : ""), key, value
    } END { print "" }'
}

json_runs() {
    awk '{
        line = ""
        for (i = 1; i <= NF; i++) {
            split($i, pair, "=")
            if (pair[2] !~ /^-?[0-9]+(\.[0-9]+)?$/) pair[2] = "\"" pair[2] "\""
            line = line (i > 1 ? ", " : "") "\"" pair[1] "\": " pair[2]
        }
        printf "%s    {%s}", (NR > 1 ? ",\n" : ""), line
    } END { print "" }' "$work/results"
}

json_summary() {
    summaries | awk '$4 ~ /^-?[0-9]+(\.[0-9]+)?$/ {
        printf "%s    {\"server\": \"%s\", \"case\": \"%s\", \"figure\": \"%s\", ", (n++ ? ",\n" : ""), $1, $2, $3
        printf "\"median\": %s, \"min\": %s, \"max\": %s}", $4, $5, $6
    } END { print "" }'
}

write_json() { # SCENARIO
    local each
    printf '{\n  "scenario": "%s", "quick": %d, "rounds": %d,\n' "$1" "$QUICK" "$RUNS"
    printf '  "machine": {\n%s\n  },\n' "$(json_members <"$work/machine")"
    printf '  "load": {\n%s\n  },\n' "$(load_settings | json_members)"
    printf '  "versions": {\n%s\n  },\n' "$(json_members <"$work/versions")"
    printf '  "commands": {\n%s\n  },\n' \
        "$(for each in "${servers[@]}"; do echo "$each=$(command_of "$each")"; done | json_members)"
    printf '  "summary": [\n%s\n  ],\n' "$(json_summary)"
    printf '  "runs": [\n%s\n  ]\n}\n' "$(json_runs)"
}
