#!/bin/bash
# damage.sh - damage costs only its page and is reported, and programs that only read a directory do
# not change it.

. tests/lib.sh
mapfile -t ports < <(free_ports 1)
url=http://127.0.0.1:${ports[0]}
firekeep=build/firekeep

metric_is() { # NAME VALUE
    curl -s --noproxy '*' "$url/metrics" | grep -F "$1" | tee /dev/stderr | grep -qxF "$1 $2"
}

# Names, kinds, sizes, times of change and contents.
tree() {
    find "$1" -printf '%P %y %s %T@\n' | sort
    find "$1" -type f -print0 | sort -z | xargs -0 sha256sum
}

unchanged() { # DIRECTORY COMMAND...
    local dir=$1 before
    shift
    before=$(tree "$dir")
    "$@" >"$work/out.txt" 2>&1
    [[ $(tree "$dir") == "$before" ]] || {
        diff <(echo "$before") <(tree "$dir")
        return 1
    }
}

flip() { # FILE OFFSET (negative: from its end)
    local at=$2 byte
    ((at >= 0)) || at=$(($(stat -c %s "$1") + at))
    byte=$(dd if="$1" bs=1 skip="$at" count=1 status=none | od -An -tu1)
    printf '%b' "\\x$(printf %02x $((byte ^ 255)))" |
        dd of="$1" bs=1 seek="$at" conv=notrunc status=none
}

# Four days, a part for each: imports end in a part.
day=86400000
base=1700006400000
make_days() { # DIRECTORY
    local d
    for d in 0 1 2 3; do
        awk -v from=$((base + d * day)) 'BEGIN { srand(1); for (s = 0; s < 20; s++)
            for (t = 0; t < 1000; t++) printf "load{s=\"%02d\"} %.9f %.0f\n", s, rand(),
                from + t * 60000 }' >"$work/day.prom"
        "$firekeep" import --storage.path="$1" "$work/day.prom" >/dev/null 2>&1 || return 1
    done
}

readers=("$firekeep export --storage.path=DIR -o $work/all.jsonl"
    "$firekeep query --storage.path=DIR --time=2023-11-16 load[1d]"
    "$firekeep verify DIR")
leave_no_trace() { # CASE DIRECTORY
    local reader
    for reader in "${readers[@]}"; do
        # shellcheck disable=SC2086 # words
        claim "$1: ${reader#*/} changes nothing" unchanged "$2" ${reader//DIR/$2}
    done
}

# --- reading leaves no trace ---------------------------------------------------------------------

claim "four parts are made" make_days "$work/whole"
leave_no_trace "whole" "$work/whole"
claim "whole: everything is there" says "exported 80000 samples" 0 \
    "$firekeep" export --storage.path="$work/whole" -o "$work/all.jsonl"

cp -a "$work/whole" "$work/rootless"
flip "$work/rootless/parts/0000000000000002/part" -1
leave_no_trace "a root that cannot be read" "$work/rootless"
claim "a root that cannot be read: the rest is exported, and it is told" \
    says "0000000000000002" 1 "$firekeep" export --storage.path="$work/rootless" \
    -o "$work/rootless.csv"
claim "a root that cannot be read: three days are there" \
    test "$(wc -l <"$work/rootless.csv")" == 60001
claim "a root that cannot be read: query tells" says "the result may be incomplete" 1 "$firekeep" query \
    --storage.path="$work/rootless" --time=2023-11-16 'load[1d]'
claim "a root that cannot be read: verify tells" says "0000000000000002" 1 \
    "$firekeep" verify "$work/rootless"

# A log that a crash has left, and one that is cut off in the middle.
if claim "log: a server starts" start_firekeep a "$work/torn" "${ports[0]}"; then
    printf 'fresh 1 %s\n' "$(now_ms)" >"$work/fresh.prom"
    claim "log: samples are written" "$firekeep" import --url="$url" "$work/fresh.prom"
    claim "log: beside a server nobody reads the directory" says "stop it, or use --url" 1 \
        "$firekeep" export --storage.path="$work/torn" -o "$work/no"
    crash a
    leave_no_trace "log" "$work/torn"
    claim "log: what is in it is read" says "exported 1 samples" 0 \
        "$firekeep" export --storage.path="$work/torn" -o "$work/all.jsonl"
    segment=$(find "$work/torn/wal" -name '*.wal' | sort | tail -n 1)
    truncate -s 8300 "$segment"
    leave_no_trace "torn log" "$work/torn"
fi

# --- a damaged page ------------------------------------------------------------------------------

days=(--start=2023-11-15 --end=2023-11-19 --slice=1d)
cp -a "$work/whole" "$work/page"
damaged_part=$work/page/parts/0000000000000002/part
flip "$damaged_part" 40000
leave_no_trace "a damaged page" "$work/page"

check_slices() { # TARGET-FLAG: the damaged day is missing, and not retried for an hour; all others are there
    says "missing: 2023-11-16" 1 "$firekeep" export "$1" --retry=1h -o "$work/slices.csv" "${days[@]}" ||
        return 1
    "$firekeep" export --storage.path="$work/whole" -o "$work/expected.csv" "${days[@]}" \
        2>/dev/null
    awk -F, -v d=$((base + day)) '{ t = $NF == "value" ? 0 : $(NF - 1) }
        NR == 1 || t < d || t >= d + 86400000' "$work/expected.csv" >"$work/three.csv"
    cmp "$work/three.csv" "$work/slices.csv"
}

# With --partial a page is missing of 20000 samples of the day, no more.
check_partial() { # TARGET-FLAG
    local lines
    says "left out: " 1 "$firekeep" export "$1" --partial -o "$work/partial.csv" "${days[@]}" ||
        return 1
    lines=$(wc -l <"$work/partial.csv")
    echo "$lines lines"
    ((lines > 60001 && lines < 80001)) &&
        [[ -z $(comm -13 <(sort "$work/expected.csv") <(sort "$work/partial.csv")) ]]
}

check_page() { # NAME TARGET-FLAG
    claim "$1: its day is missing, all others are written" check_slices "$2"
    claim "$1: the last line is the reason" test "$("$firekeep" export "$2" -o "$work/x.csv" \
        "${days[@]}" 2>&1 | tail -n 1 | grep -c 'export: 1 slices are missing.*0002.*damaged')" == 1
    claim "$1: a resumed export still knows" says "1 slices are missing" 1 "$firekeep" export \
        "$2" -o "$work/r.csv" --resume="$work/r-$1.txt" "${days[@]}"
    claim "$1: --partial leaves out the page" check_partial "$2"
    claim "$1: query names part and page" says "0002/part: page at" 1 "$firekeep" query "$2" \
        --time=2023-11-19 'load[4d]'
}

# Evaluates, at the end of each day, how often its values changed: each of 20 series at each sample
# but one.
evaluates() { # PATH STATUS FILTER [NAME=VALUE...]
    local args=(--data-urlencode "query=${expression:-sum(changes(load[1d]))}" -d step=86400 -d "start=$((base / 1000 + 59940))")
    local value got
    for value in "end=$(((base + 3 * day) / 1000 + 59940))" "${@:4}"; do args+=(-d "$value"); done
    got=$(curl -s --noproxy '*' -o "$work/result.json" -w '%{http_code}' "${args[@]}" "$url/api/v1/$1")
    head -c 600 "$work/result.json"
    [[ $got == "$2" ]] && jq -e "$3" "$work/result.json"
}

evaluations() {
    local named='contains("0000000000000002/part: page at")'
    local fails=".errorType == \"internal\" and (.error | $named)"
    local rest='.status == "success" and (.warnings | length == 1) and (.warnings[0] | '$named')'
    local counts='[.data.result[0].values[][1] | tonumber]'
    local at="time=$(((base + day) / 1000 + 59940))"
    claim "a query that needs the page fails and names it" evaluates query_range 500 "$fails"
    claim "so does one at one time" evaluates query 500 "$fails" "$at"
    claim "with partial_response=true a query has the rest, and a warning that names the page" evaluates query_range 200 \
        "$rest and ($counts | .[0] == 19980 and .[1] > 0 and .[1] < 19980 and .[2] == 19980 and .[3] == 19980)" \
        partial_response=true
    claim "so has one at one time" evaluates query 200 \
        "$rest and (.data.result[0].value[1] | tonumber | . > 0 and . < 19980)" partial_response=true "$at"
    claim "not with partial_response=false" evaluates query 500 "$fails" partial_response=false "$at"
    claim "a query that needs no damaged page has no warning" evaluates query 200 \
        '.data.result[0].value[1] == "19980" and (has("warnings") | not)' partial_response=true \
        "time=$((base / 1000 + 59940))"
    claim "partial_response is true or false" evaluates query 400 \
        '.error | startswith("invalid parameter \"partial_response\"")' partial_response=perhaps
    expression='sum(count_over_time(load[1d]))' claim "a query that only counts does not need the page" \
        evaluates query 200 '.data.result[0].value[1] == "20000" and (has("warnings") | not)' "$at"
}

check_page directory --storage.path="$work/page"
cp -a "$work/page" "$work/served"
if claim "a server starts" start_firekeep d "$work/served" "${ports[0]}" \
    --web.enable-admin-api; then
    check_page server --url="$url"
    evaluations
    claim "the damaged page is counted, once" metric_is firekeep_damaged_pages_total 1
    merge_all() {
        curl -s --noproxy '*' -w '%{http_code}' -X POST "$url/api/v1/admin/tsdb/merge?full=true"
    }
    claim "a full merge merges the others and names the part" says '"leftAlone":[{"part":"0000' 0 \
        merge_all
    claim "a full merge is a success" test "$(merge_all | tail -c 3)" == 200
    claim "the part left alone is counted" metric_is firekeep_parts_left_alone 1
    claim "three parts are left: across the damaged one nothing is merged" metric_is firekeep_parts 3
    claim "the page is still counted once" metric_is firekeep_damaged_pages_total 1
    claim "what is whole is still there" check_partial --url="$url"
    stop d
    claim "verify names part and page" says "0002/part: page at" 1 "$firekeep" verify "$work/served"
fi

# The answer has begun when damage is found: its last frame reports it.
cp -a "$work/whole" "$work/late"
flip "$work/late/parts/0000000000000002/part" 72000
if claim "late: a server starts" start_firekeep l "$work/late" "${ports[0]}"; then
    claim "late: the day is missing, all others are written" check_slices --url="$url"
    claim "late: the reason came with the answer" says "/api/v1/read: $work/late/parts/" 1 \
        "$firekeep" export --url="$url" -o "$work/x.csv" "${days[@]}"
    stop l
fi

# --- look-ups ------------------------------------------------------------------------------------

# The payload of the first page of a kind: docs/format/part.md.
payload_of() { # FILE KIND
    local at=64 word
    while word=$(od -An -tu4 -j "$at" -N 4 "$1") && (((word >> 28) != $2)); do
        at=$((at + 16 + (word & 0x0fffffff)))
    done
    echo $((at + 16))
}

looks_up() { # PATH DATA WARNINGS
    curl -sg --noproxy '*' "$url$1" >"$work/found.json"
    head -c 600 "$work/found.json"
    jq -e --argjson data "$2" --argjson warnings "$3" '.status == "success" and .data == $data and
        ([.warnings[]? | select(contains("0000000000000002/part"))] | length) == $warnings' "$work/found.json"
}

fails_to_look_up() { # PATH
    local got
    got=$(curl -sg --noproxy '*' -o "$work/found.json" -w '%{http_code}' -G -d partial_response=false "$url$1")
    head -c 600 "$work/found.json"
    [[ $got == 500 ]] && jq -e '.errorType == "internal" and (.error | contains("0000000000000002/part"))' "$work/found.json"
}

cp -a "$work/whole" "$work/names"
flip "$work/names/parts/0000000000000002/part" \
    "$(payload_of "$work/names/parts/0000000000000002/part" 6)"
if claim "names: a server starts" start_firekeep n "$work/names" "${ports[0]}"; then
    claim "names: those of the other parts are found, and what is missing is a warning" \
        looks_up /api/v1/labels '["__name__","s"]' 1
    claim "names: so are values" looks_up /api/v1/label/__name__/values '["load"]' 1
    claim "names: so are series" looks_up '/api/v1/series?match[]=load{s="03"}' \
        '[{"__name__":"load","s":"03"}]' 1
    claim "names: with partial_response=false names fail" fails_to_look_up /api/v1/labels
    claim "names: there is no warning where nothing is missing" \
        looks_up '/api/v1/labels?start=2023-11-15T00:00:00Z&end=2023-11-15T23:00:00Z' '["__name__","s"]' 0
    stop n
fi

# --- a part that was put aside comes back --------------------------------------------------------

aside=$work/aside/parts/0000000000000002
cp -a "$work/whole" "$work/aside"
flip "$aside/part" -1
missing='part 0000000000000002 is damaged and was set aside'

warns() { # COUNT PATH [NAME=VALUE...]: of warnings, which name the part
    local args=()
    for value in "${@:3}"; do args+=(--data-urlencode "$value"); done
    curl -sg --noproxy '*' -G "${args[@]}" "$url/api/v1/$2" >"$work/found.json"
    head -c 600 "$work/found.json"
    jq -e --arg missing "$missing" --argjson count "$1" '.status == "success" and
        ([.warnings[]? | select(contains($missing))] | length) == $count' "$work/found.json"
}

# The same request for all times, for the part's day, and for other days.
warns_of_aside() { # NAME PATH TIMES-OF-DAY-1 TIMES-OF-DAY-3 [NAME=VALUE...]
    local day1=("$3") day3=("$4")
    claim "aside: $1 of its day names the part" warns 1 "$2" "${@:5}" ${day1[*]}
    claim "aside: $1 of its day names it again" warns 1 "$2" "${@:5}" ${day1[*]}
    claim "aside: $1 of other days has no warning" warns 0 "$2" "${@:5}" ${day3[*]}
}

answers_about_aside() {
    local seconds=$((base / 1000)) d=$((day / 1000))
    local at1="time=$((seconds + d + 59940))" at3="time=$((seconds + 3 * d + 59940))"
    local in1="start=$((seconds + d)) end=$((seconds + d + 59940))" in3="start=$((seconds + 2 * d)) end=$((seconds + 3 * d + 59940))"
    warns_of_aside "a query" query "$at1" "$at3" 'query=sum(changes(load[1d]))'
    warns_of_aside "a range query" query_range "$in1 step=600" "$in3 step=600" 'query=sum(load)'
    warns_of_aside "names" labels "$in1" "$in3"
    warns_of_aside "values" label/s/values "$in1" "$in3"
    warns_of_aside "series" series "$in1" "$in3" 'match[]=load'
    warns_of_aside "exemplars" query_exemplars "$in1" "$in3" 'query=load'
}

reads() { # DAY TEXT: the answer to a Prometheus
    python3 - "$url/api/v1/read" "$((base + $1 * day))" "$((base + $1 * day + 59940000))" <<'EOF' >"$work/read.txt"
import sys, urllib.error
sys.path.insert(0, "tests/tools")
from remote_read import ask
try:
    print(len(ask(sys.argv[1], [("=", "__name__", "load")], int(sys.argv[2]), int(sys.argv[3]))), "series")
except urllib.error.HTTPError as e:
    print(e.code, e.headers.get("X-Firekeep-Error"), e.read().decode())
EOF
    cat "$work/read.txt"
    [[ $(<"$work/read.txt") == "$2"* ]]
}

written_by_rule() {
    warns 0 query 'query=at_large >= 0' && jq -e '.data.result | length == 1' "$work/found.json"
}

exports() { # STATUS LINES START END
    local got
    "$firekeep" export --url="$url" -o "$work/part.csv" --start="$3" --end="$4" 2>&1
    got=$?
    echo "status $got, $(wc -l <"$work/part.csv") lines"
    ((got == $1)) && (($(wc -l <"$work/part.csv") == $2))
}

printf '%s\n' 'groups:' '- name: aside' '  interval: 1s' '  rules:' "  - {record: at_large, expr: 'sum(count_over_time(load[20y]))'}" >"$work/rules.yml"
printf '%s\n' "rule_files: ['$work/rules.yml']" >"$work/firekeep.yml"
if claim "aside: a server starts" start_firekeep p "$work/aside" "${ports[0]}" --config.file="$work/firekeep.yml"; then
    answers_about_aside
    claim "aside: an export has the rest, and names the part" says "$missing" 1 \
        "$firekeep" export --url="$url" -o "$work/rest.csv" "${days[@]}"
    claim "aside: an export has the other days" test "$(wc -l <"$work/rest.csv")" == 60001
    claim "aside: an export of other days is whole" exports 0 40001 2023-11-17 2023-11-19
    claim "aside: a remote read of its day, which has no place for a warning, fails and names the part" reads 1 "500 damaged $missing"
    claim "aside: a remote read of another day is whole" reads 3 "20 series"
    claim "aside: rules of its day go on" within 30 written_by_rule
    claim "aside: the log says what they lack" within 10 grep -q "rules are evaluated without.*$missing" "$work/p.log"
    claim "aside: the part is counted" metric_is firekeep_parts_set_aside 1
    claim "aside: and its samples" metric_is \
        'firekeep_samples_damaged_total{tenant="anonymous",kind="float"}' 20000
    claim "aside: samples are written" "$firekeep" import --url="$url" "$work/fresh.prom"
    stop p
    claim "aside: verify names it" says "0000000000000002.damaged: set aside" 1 \
        "$firekeep" verify "$work/aside"
    flip "$aside.damaged/part" -1
    mv "$aside.damaged" "$aside"
    claim "aside: verify is content when it is back" "$firekeep" verify "$work/aside"
    claim "aside: all samples are there" says "exported 80001 samples" 0 \
        "$firekeep" export --storage.path="$work/aside" --match=load --match=fresh -o "$work/all.jsonl"
fi
if claim "aside: the server starts again" start_firekeep p "$work/aside" "${ports[0]}"; then
    claim "aside: no sample counts as damaged" metric_is \
        'firekeep_samples_damaged_total{tenant="anonymous",kind="float"}' 0
    claim "aside: all samples are served" says "exported 80001 samples" 0 \
        "$firekeep" export --url="$url" --match=load --match=fresh -o "$work/all.jsonl"
    claim "aside: nothing is missing" warns 0 query "time=$(((base + day) / 1000 + 59940))" 'query=sum(changes(load[1d]))'
    stop p
fi
flip "$aside/part" -1
if claim "aside: once more" start_firekeep p "$work/aside" "${ports[0]}"; then
    claim "aside: once more, it is missing" warns 1 query "time=$(((base + day) / 1000 + 59940))" 'query=sum(changes(load[1d]))'
    stop p
fi
mv "$aside.damaged" "$aside.lost"
if claim "aside: a server starts without what is lost" start_firekeep p "$work/aside" "${ports[0]}"; then
    claim "aside: what is known to be lost is not warned of" warns 0 query "time=$(((base + day) / 1000 + 59940))" 'query=sum(changes(load[1d]))'
    stop p
fi

# --- media that cannot be written ----------------------------------------------------------------

chmod -R a-w "$work/whole"
if unshare -rm true 2>/dev/null; then
    read_only() { # COMMAND...
        unshare -rm bash -c 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" &&
            ! touch "$1/x" 2>/dev/null && "${@:2}"' - "$work/whole" "$@"
    }
else
    read_only() {
        "$@"
    }
fi
claim "read-only media: export" says "exported 80000 samples" 0 \
    read_only "$firekeep" export --storage.path="$work/whole" -o "$work/all.jsonl"
claim "read-only media: verify" says "ok (4 parts" 0 read_only "$firekeep" verify "$work/whole"
chmod -R u+w "$work/whole"

done_testing
