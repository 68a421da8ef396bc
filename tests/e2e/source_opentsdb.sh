#!/bin/bash
# source_opentsdb.sh - samples that a destination of type opentsdb wrote into a double of OpenTSDB
# are read back through a source of that type, bit for bit, with the answers of a store that has
# them all; data of other writers is read, too; and everything that OpenTSDB refuses or spoils is a
# clear error.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
firekeep=build/firekeep
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
# shellcheck source=tests/sources_lib.sh
. tests/sources_lib.sh
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
name_ports firekeep control double reader scratch

reader=http://127.0.0.1:${port[reader]}
double=$(url_of double)

start_double() { # ARGUMENT...
    start double python3 tests/doubles/opentsdb.py --port "${port[double]}" "$@"
    within 20 answers double "$double/api/version"
}

writes() { # NDJSON: into the writer's own store, and by its destination into the double
    cat >"$work/writer.yml" <<END
destinations:
  - {name: tsd, type: opentsdb, url: '$double', batch: {max_age: 50ms}}
END
    rm -rf "$work/writer"
    start_firekeep writer "$work/writer" "${port[firekeep]}" --config.file="$work/writer.yml" || return 1
    within 20 all_open || return 1
    "$firekeep" import --url="$url" "$1" && within 120 all_settled tsd || return 1
    [[ $(samples dead_lettered_total tsd) == 0 ]]
}

reads() { # [KEYS]
    cat >"$work/reader.yml" <<END
storage: {mode: none}
sources:
  - {name: tsd, type: opentsdb, url: '$double'${1-}}
END
    start_firekeep reader "$work/reader" "${port[reader]}" --config.file="$work/reader.yml"
}

# Selects the samples of a capture that OpenTSDB can store: finite values, one to eight labels.
fit_of() { # CAPTURE ARGUMENT...
    rm -rf "$work/scratch"
    start_firekeep scratch "$work/scratch" "${port[scratch]}" || return 1
    "$TOOLS/rwreplay" "$1" "http://127.0.0.1:${port[scratch]}" --check "${@:2}" || return 1
    "$firekeep" export --url="http://127.0.0.1:${port[scratch]}" --format=ndjson >"$work/all.ndjson" || return 1
    stop scratch
    python3 - "$work/all.ndjson" >"$work/fit.ndjson" <<'END'
import json, sys
for line in open(sys.argv[1], encoding="utf-8"):
    sample = json.loads(line)
    if sample["value"] is not None and 2 <= len(sample["labels"]) <= 9:
        sys.stdout.write(line)
END
    [[ -s $work/fit.ndjson ]]
}

fault() { # JSON
    curl -fs --noproxy '*' -o "$work/fault.txt" -d "$1" "$double/fault"
}

# Prints the value of a query at one time, which all faults are tried with; `asked` is the query.
instant() { # SELECTOR [PORT]
    curl -sgG --noproxy '*' --max-time 60 "$reader/api/v1/query" --data-urlencode "query=$1" -d time=1700000100
}

gives() { # SELECTOR JQ: of its result
    instant "$1" >"$work/given.json"
    jq -e "$2" "$work/given.json" || { head -c 600 "$work/given.json"; return 1; }
}

fails_with() { # SELECTOR PATTERN
    instant "$1" >"$work/given.json"
    head -c 600 "$work/given.json"
    jq -e '.status == "error"' "$work/given.json" && grep -q -e "$2" "$work/given.json"
}

put() { # JSON
    curl -fs --noproxy '*' -o "$work/put.txt" -d "$1" "$double/api/put"
}

calls() { # PATH
    curl -fs --noproxy '*' "$double/stats" | jq ".calls[\"$1\"] // 0"
}

# --- samples of the destination -----------------------------------------------------------------------

seed=${SEED:-$RANDOM}
python3 tests/tools/random_matchers.py finite "$seed" 150 >"$work/random.ndjson"

random_round() { # CASES ARGUMENT OF THE DOUBLE...
    local who="seed $seed${2:+, $2}"
    claim "$who: the double starts" start_double "${@:2}" || return
    claim "$who: it is given series that are hard to write" writes "$work/random.ndjson" || return
    claim "$who: a server without a store starts" reads || return
    claim "$who: everything comes back, bit for bit" same
    claim "$who: $1 random questions are answered the same" python3 tests/tools/random_matchers.py compare "$seed" "$1" "$url" "$reader"
    claim "$who: no request was larger than OpenTSDB takes" is_small
    stop reader
    stop writer
    stop double
}

is_small() {
    local largest
    largest=$(curl -fs --noproxy '*' "$double/stats" | jq .largest)
    echo "largest $largest"
    ((largest > 0 && largest <= 8000))
}

random_round "${CASES:-75}"

if [[ -n $SAMPLES && -f $SAMPLES/node15s.rw ]]; then
    claim "what OpenTSDB can hold of a capture is found" fit_of "$SAMPLES/node15s.rw" --first 2
    claim "capture: the double starts" start_double
    claim "capture: it is given the capture" writes "$work/fit.ndjson"
    claim "capture: a server without a store starts" reads
    claim "capture: everything comes back, bit for bit" same
    set_bounds
    claim "capture: look-ups answer the same" look_ups_are_the_same "${bounds[@]}"
    claim "capture: PromQL answers the same" results_are_the_same '{__name__=~"node_cpu.*",mode=~"i.*|user",cpu!~"1"}'
    claim "capture: no request was larger than OpenTSDB takes" is_small
    stop reader
    stop writer
    stop double
else
    skip capture "no captures beside the project"
fi

# --- samples of other writers, and requests -----------------------------------------------------------

adapter='[{"metric":"up","timestamp":1700000100,"value":1,"tags":{"job":"a_.b","U__x":"_9tab"}},
 {"metric":"sys.cpu.user","timestamp":1700000100,"value":2,"tags":{"host":"web_front","cpu":"0"}},
 {"metric":"sys.mem","timestamp":1700000100,"value":3,"tags":{"host":"web__back_.1"}},
 {"metric":"sys.cpu.user","timestamp":1700000100000,"value":-0.0,"tags":{"host":"Web_Front","cpu":"1"}}]'
claim "foreign: the double starts" start_double --special=:
claim "foreign: another program writes into it" put "$adapter"
claim "foreign: a server without a store starts" reads
claim "foreign: what the adapter escaped is read, one digit or two" gives 'up{job="a:b"}' '.data.result[0].metric | .job == "a:b" and .U__x == "\ttab"'
claim "foreign: what no adapter wrote stands for itself" gives '{__name__="sys.cpu.user",host="web_front"}' '.data.result | length == 1 and .[0].value[1] == "2"'
claim "foreign: by a regex, too" gives '{__name__=~"sys.cpu.*",host=~"web_.*t|x"}' '.data.result | length == 1'
claim "foreign: by a regex with underscores that were escaped" gives '{__name__="sys.mem",host=~"web_b.*k:1|x"}' '.data.result | length == 1 and .[0].metric.host == "web_back:1"'
claim "foreign: minus zero is minus zero" gives '{__name__="sys.cpu.user",cpu="1"}' '.data.result[0].value[1] == "-0"'
claim "foreign: case matters" gives '{__name__="sys.cpu.user",host=~"WEB_FRONT|nobody|nowhere|never|nothing|none"}' '.data.result == []'
stop reader
claim "escaping: a server that reads the adapter's alone starts" reads ', escaping: prometheus'
claim "escaping: tag names are as they are" gives '{U__x=~".+"}' '.data.result | length == 1'
stop reader

claim "questions: a server with a limit of two values starts" reads ', expansion_limit: 2'
bodies() {
    curl -fs --noproxy '*' "$double/stats" | jq -c '.bodies[]'
}
does_not_send_too_many() {
    gives '{__name__="sys.cpu.user",cpu=~"0|1|2"}' '.data.result | length == 2' || return 1
    bodies | tail -n 2 | tee "$work/bodies.txt"
    ! grep -q literal_or "$work/bodies.txt"
}
claim "questions: a filter with more values is not sent" does_not_send_too_many
before=$(curl -fs --noproxy '*' "$double/dump" | md5sum)
hostile=('x"}],"delete":true,"queries":[{"metric":"up' '*' '.*' '|' 'a|b' '\' "'" $'two\nlines' '{"a":1}' '' '\\"' '%00')
is_harmless() {
    local text quoted
    for text in "${hostile[@]}"; do
        quoted=$(jq -n --arg t "$text" '$t')
        for operator in = != =~ '!~'; do
            instant "{__name__=~\".+\",host$operator$quoted}" >"$work/given.json"
            jq -e '.status == "success" or .errorType == "bad_data"' "$work/given.json" >"$work/jq.txt" || { cat "$work/given.json"; return 1; }
            [[ $operator != '=' || $text == '' ]] || jq -e '.data.result == []' "$work/given.json" || { echo "$text"; return 1; }
        done
        gives "{__name__=$quoted,host!=\"\"}" '.status == "error" or .data.result == []' || return 1
    done
    bodies | jq -er 'fromjson | (keys - ["start", "end", "msResolution", "showTSUIDs", "noAnnotations", "queries"]) == []' >"$work/jq.txt"
}
claim "questions: hostile texts are only texts" is_harmless
does_not_change() {
    [[ $before == "$(curl -fs --noproxy '*' "$double/dump" | md5sum)" ]]
}
claim "questions: reading changed nothing" does_not_change
troubles() {
    curl -fs --noproxy '*' "$reader/metrics" | awk '/^firekeep_source_errors_total/ { sum += $NF } END { print sum + 0 }'
}
does_not_count_the_unknown() {
    local had
    had=$(troubles)
    gives '{__name__="nothing",job="x"}' '.data.result == []' && gives 'up{nowhere="x"}' '.data.result == []' &&
        gives 'up{job="nobody"}' '.data.result == []' && gives 'up{nowhere=""}' '.data.result | length == 1' && [[ $(troubles) == "$had" ]]
}
claim "questions: what OpenTSDB does not know is no series, and no error" does_not_count_the_unknown

# --- faults -------------------------------------------------------------------------------------------

claim "faults: 429 is repeated" eval 'fault '"'"'{"kind":"throttle","times":2}'"'"' && gives up ".data.result | length == 1"'
claim "faults: 500 is repeated" eval 'fault '"'"'{"kind":"error","times":1}'"'"' && gives up ".data.result | length == 1"'
claim "faults: a slow answer is waited for" eval 'fault '"'"'{"kind":"slow","seconds":0.3}'"'"' && gives up ".data.result | length == 1"'
claim "faults: 503 without end fails, and says so" eval 'fault '"'"'{"kind":"unavailable","times":3}'"'"' && fails_with up "source tsd: .*status 503: "'
claim "faults: too much is asked for in pieces" eval 'fault '"'"'{"kind":"too_much","times":2}'"'"' && gives "up[6h]" ".data.result | length == 1"'
claim "faults: a query that takes too long there is asked for in pieces" eval 'fault '"'"'{"kind":"timeout","times":2}'"'"' && gives "up[6h]" ".data.result | length == 1"'
claim "faults: too much in whatever piece fails, and says what to raise" eval 'fault '"'"'{"kind":"too_much","times":100}'"'"' && fails_with "up[6h]" "raise tsd.query.limits"'
stop double
claim "faults: the double starts again" start_double
claim "faults: a program writes into it" put "$adapter"
claim "faults: a response that is cut fails" eval 'fault '"'"'{"kind":"cut","times":9}'"'"' && fails_with up "source tsd: http"'
stop double
claim "faults: the double starts once more" start_double
claim "faults: another program writes into it" put "$adapter"
claim "faults: half a response is damaged" eval 'fault '"'"'{"kind":"short"}'"'"' && fails_with up "the response cannot be read: the response ends too early"'
claim "faults: what is no JSON is damaged" eval 'fault '"'"'{"kind":"garbage"}'"'"' && fails_with up "the response cannot be read: expected an array"'
claim "faults: a refusal is told with its words" eval 'fault '"'"'{"kind":"answer","status":400,"body":"{\"error\":{\"code\":400,\"message\":\"no such luck\"}}"}'"'"' && fails_with up "status 400: .*no such luck"'
claim "faults: a name that was not asked for is no reason to ask again" eval 'fault '"'"'{"kind":"answer","status":400,"body":"{\"error\":{\"message\":\"No such name for '"\\u0027tagv\\u0027: \\u0027z\\u0027"'\"}}","times":9}'"'"' && fails_with up "the refusal names what was not asked for"'
stop reader
claim "faults: a server that reads at most 1 MiB starts" reads ', max_bytes: 1MiB'
stop double
claim "faults: the double starts for the last time" start_double
claim "faults: a last program writes into it" put "$adapter"
claim "faults: a response without end ends" eval 'fault '"'"'{"kind":"endless"}'"'"' && fails_with up "more than 1048576 bytes (max_bytes)"'
claim "faults: it is not told to see what the query needs" eval '! grep -F /api/v1/explain "$work/given.json"'

# --- limits of the server --------------------------------------------------------------------------

stop reader
stop double
puts_days() { # 4 series with 2880 points each, over two days
    python3 - >"$work/days.ndjson" <<'END'
import json
for i in range(4 * 2880):
    labels = {"__name__": "long", "n": str(i % 4)}
    print(json.dumps({"name": "long", "time": 1700000000123 + i // 4 * 60000, "value": i + 0.5, "labels": labels}))
END
    writes "$work/days.ndjson"
}
claim "limits: a double that reads at most 500 points at once starts" start_double --limit-points=500
claim "limits: it is given two days of points" puts_days
claim "limits: a server without a store starts" reads
claim "limits: everything comes back, in pieces" same
claim "limits: a single series does, too" eval "instant 'long{n=\"3\"}[3d]' >'$work/given.json' && curl -sgG --noproxy '*' '$url/api/v1/query' --data-urlencode 'query=long{n=\"3\"}[3d]' -d time=1700000100 | diff - '$work/given.json'"
stop writer

# --- sources test -------------------------------------------------------------------------------------

tries() { # PATTERN
    "$firekeep" sources test tsd --from=2023-11-14T00:00:00Z --config.file="$work/reader.yml" >"$work/tried.txt" 2>&1
    local status=$?
    cat "$work/tried.txt"
    grep -q -e "$1" "$work/tried.txt" && return "$status"
}
claim "sources test: it names a series" tries '^ok  *series: long{n="0"}, [1-9][0-9]* samples'
stop double
claim "sources test: it says that nobody answers" eval '! tries "[Cc]onnect"'
done_testing
