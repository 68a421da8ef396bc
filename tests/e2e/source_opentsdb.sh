#!/bin/bash
# source_opentsdb.sh - samples that a destination of type opentsdb wrote into a double of OpenTSDB
# are read back through a source of that type, bit for bit, with the answers of a store that has
# them all; data of other writers is read, too; and everything that OpenTSDB refuses or spoils is a
# clear error.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
name_ports firekeep control double reader
# shellcheck source=tests/sources_lib.sh
. tests/sources_lib.sh

double=$(url_of double)
at="type: opentsdb, url: '$double'"

start_double() { # ARGUMENT...
    ! is_running double || stop double
    start double python3 tests/doubles/opentsdb.py --port "${port[double]}" "$@"
    within 20 answers double "$double/api/version"
}

ask_double() { # PATH [DATA]
    curl -fs --noproxy '*' ${2:+-d "$2"} "$double/$1"
}

stats() { # JQ
    ask_double stats | jq -c "$1"
}

is_small() {
    local largest
    largest=$(stats .largest)
    echo "largest $largest"
    ((largest > 0 && largest <= 8000))
}

# --- samples of the destination -----------------------------------------------------------------------

begins() { # NAME [ARGUMENT...]: a double, a server with a store and one without
    ! is_running reader || { stop reader && stop writer; }
    start_double "${@:2}" && writes "$1" "$at" && reads "$1" "$at"
}
makes_series finite
claim "seed $seed: the double, a server with a store and one without start" begins random
claim "seed $seed: it is given series that are hard to write" imports "$work/random.ndjson"
claim "seed $seed: everything comes back, bit for bit" same
claim "seed $seed: ${CASES:-50} random questions are answered the same" answers_alike "${CASES:-50}"
claim "seed $seed: no request was larger than OpenTSDB takes" is_small
if [[ -n $SAMPLES && -f $SAMPLES/node15s.rw ]]; then
    # Of a capture: finite values, one to eight labels.
    finite_floats() {
        start_firekeep scratch "$work/scratch" "${port[control]}" &&
            "$TOOLS/rwspan" "$SAMPLES/node15s.rw" --series 300 --scrapes 8 >"$work/floats.rw" && "$TOOLS/rwreplay" "$work/floats.rw" "$control" --check &&
            build/firekeep export --url="$control" --format=ndjson >"$work/all.ndjson" && stop scratch || return 1
        jq -c 'select(.value != null and (.labels | length >= 2 and length <= 9))' "$work/all.ndjson" >"$work/fit.ndjson"
    }
    claim "capture: what OpenTSDB can hold of it is found" finite_floats
    claim "capture: the double, a server with a store and one without start" begins capture
    claim "capture: it is given the capture" imports "$work/fit.ndjson"
    set_bounds
    claim "capture: everything comes back, bit for bit" same
    claim "capture: look-ups answer the same" look_ups_are_the_same "${bounds[@]}"
    claim "capture: PromQL answers the same" results_are_the_same '{__name__=~"node_cpu.*",mode=~"i.*|user",cpu!~"1"}'
    claim "capture: no request was larger than OpenTSDB takes" is_small
else
    skip capture "no captures beside the project"
fi
stop reader
stop writer

# --- samples of other writers, and requests -----------------------------------------------------------

adapter='[{"metric":"up","timestamp":1700000100,"value":1,"tags":{"job":"a_.b","U__x":"_9tab"}},
 {"metric":"sys.cpu.user","timestamp":1700000100,"value":2,"tags":{"host":"web_front","cpu":"0"}},
 {"metric":"sys.mem","timestamp":1700000100,"value":3,"tags":{"host":"web__back_.1"}},
 {"metric":"sys.cpu.user","timestamp":1700000100000,"value":-0.0,"tags":{"host":"Web_Front","cpu":"1"}}]'
has_others() { # ARGUMENT...: a double into which another program writes
    start_double "$@" && ask_double api/put "$adapter" >"$work/put.txt"
}
claim "foreign: the double starts, another program writes into it" has_others --special=:
claim "foreign: a server without a store starts" reads foreign "$at"
while IFS='|' read -r name selector wanted; do
    claim "foreign: $name" gives ".data.result | $wanted" "${selector//!/|}"
done <<'END'
what the adapter escaped is read, one digit or two|up{job="a:b"}|.[0].metric | .job == "a:b" and .U__x == "\ttab"
what no adapter wrote stands for itself|{__name__="sys.cpu.user",host="web_front"}|length == 1 and .[0].value[1] == "2"
by a regex, too|{__name__=~"sys.cpu.*",host=~"web_.*t!x"}|length == 1
by a regex with underscores that were escaped|{__name__="sys.mem",host=~"web_b.*k:1!x"}|length == 1 and .[0].metric.host == "web_back:1"
minus zero is minus zero|{__name__="sys.cpu.user",cpu="1"}|.[0].value[1] == "-0"
case matters|{__name__="sys.cpu.user",host=~"WEB_FRONT!nobody!nowhere!never!nothing!none"}|. == []
END
stop reader
claim "escaping: a server that reads the adapter's alone starts" reads adapter "$at, escaping: prometheus"
claim "escaping: tag names are as they are" gives '.data.result | length == 1' '{U__x=~".+"}'
stop reader

claim "questions: a server with a limit of two values starts" reads limited "$at, expansion_limit: 2"
does_not_send_too_many() {
    gives '.data.result | length == 2' '{__name__="sys.cpu.user",cpu=~"0|1|2"}' || return 1
    stats '.bodies[]' | tail -n 2 | tee "$work/bodies.txt"
    ! grep -q literal_or "$work/bodies.txt"
}
claim "questions: a filter with more values is not sent" does_not_send_too_many
before=$(ask_double dump | md5sum)
hostile=('x"}],"delete":true,"queries":[{"metric":"up' '*' '.*' '|' 'a|b' '\' "'" $'two\nlines' '{"a":1}' '' '\\"' '%00')
is_harmless() {
    local text quoted
    for text in "${hostile[@]}"; do
        quoted=$(jq -n --arg t "$text" '$t')
        for operator in = != =~ '!~'; do
            gives '.status == "success" or .errorType == "bad_data"' "{__name__=~\".+\",host$operator$quoted}" || return 1
            [[ $operator != '=' || $text == '' ]] || jq -e '.data.result == []' "$work/given.json" || { echo "$text"; return 1; }
        done
        gives '.status == "error" or .data.result == []' "{__name__=$quoted,host!=\"\"}" || return 1
    done
    stats '.bodies[]' | jq -er 'fromjson | (keys - ["start", "end", "msResolution", "showTSUIDs", "noAnnotations", "queries"]) == []' >"$work/jq.txt"
}
claim "questions: hostile texts are only texts" is_harmless
does_not_change() {
    [[ $before == "$(ask_double dump | md5sum)" ]]
}
claim "questions: reading changed nothing" does_not_change
troubles() {
    curl -fs --noproxy '*' "$reader/metrics" | awk '/^firekeep_source_errors_total/ { sum += $NF } END { print sum + 0 }'
}
does_not_count_the_unknown() {
    local had selector
    had=$(troubles)
    for selector in '{__name__="nothing",job="x"}' 'up{nowhere="x"}' 'up{job="nobody"}'; do
        gives '.data.result == []' "$selector" || return 1
    done
    gives '.data.result | length == 1' 'up{nowhere=""}' && [[ $(troubles) == "$had" ]]
}
claim "questions: what OpenTSDB does not know is no series, and no error" does_not_count_the_unknown
stop reader

# --- faults -------------------------------------------------------------------------------------------

# What is asked, and the words of the failure; without words there is an answer.
goes_wrong() { # JSON SELECTOR WORDS
    ask_double fault "$1" >"$work/fault.txt" || return 1
    if [[ -z $3 ]]; then
        gives '.data.result | length == 1' "$2"
    else
        fails_with "$3" "$2" && ! grep -F /api/v1/explain "$work/failed.txt"
    fi
}
claim "faults: a server that reads at most 1 MiB starts" reads faults "$at, max_bytes: 1MiB"
while IFS='|' read -r name json selector words; do
    [[ $json == *throttle* || $json == *times* ]] || has_others # what was left of the fault before is gone
    claim "faults: $name" goes_wrong "$json" "$selector" "$words"
    [[ $json != *times\":[39]* && $json != *100* ]] || has_others
done <<'END'
429 is repeated|{"kind":"throttle","times":2}|up|
500 is repeated|{"kind":"error","times":1}|up|
a slow answer is waited for|{"kind":"slow","seconds":0.3,"times":1}|up|
503 without end fails, and says so|{"kind":"unavailable","times":3}|up|status 503: 
too much is asked for in pieces|{"kind":"too_much","times":2}|up[6h]|
a query that takes too long there is asked for in pieces|{"kind":"timeout","times":2}|up[6h]|
too much in whatever piece fails, and says what to raise|{"kind":"too_much","times":100}|up[6h]|raise tsd.query.limits
a response that is cut fails|{"kind":"cut","times":9}|up|source there: http
half a response is damaged|{"kind":"short","times":1}|up|the response cannot be read: the response ends too early
what is no JSON is damaged|{"kind":"garbage","times":1}|up|the response cannot be read: expected an array
a refusal is told with its words|{"kind":"answer","status":400,"body":"{\"error\":{\"code\":400,\"message\":\"no such luck\"}}","times":1}|up|no such luck
a name that was not asked for is no reason to ask again|{"kind":"answer","status":400,"body":"{\"error\":{\"message\":\"No such name for 'tagv': 'z'\"}}","times":9}|up|the refusal names what was not asked for
a response without end ends|{"kind":"endless","times":1}|up|more than 1048576 bytes (max_bytes)
END
stop reader

# --- limits of the server --------------------------------------------------------------------------

# 4 series with 480 points each, over 8 hours.
for ((i = 0; i < 4 * 480; i++)); do
    echo "{\"name\":\"long\",\"time\":$((1700000000123 + i / 4 * 60000)),\"value\":$i.5,\"labels\":{\"__name__\":\"long\",\"n\":\"$((i % 4))\"}}"
done >"$work/days.ndjson"
series_are_the_same() {
    local of=(-d time=1700040000 --data-urlencode 'query=long{n="3"}[3d]')
    diff <(curl -sgG --noproxy '*' "$url/api/v1/query" "${of[@]}") <(curl -sgG --noproxy '*' "$reader/api/v1/query" "${of[@]}")
}
claim "limits: a double that reads at most 500 points at once starts, and servers" begins limits --limit-points=500
claim "limits: it is given hours of points" imports "$work/days.ndjson"
claim "limits: everything comes back, in pieces" same
claim "limits: a single series does, too" series_are_the_same
stop writer
claim "sources test: it names a series" tested 0 'series: long{n="0"}, ' "$at"
stop double
claim "sources test: it says that nobody answers" tested 1 onnect "$at"
done_testing
