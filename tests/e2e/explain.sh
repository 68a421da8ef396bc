#!/bin/bash
# explain.sh - the reads of a query are predicted before it runs, and the prediction is right; over
# HTTP, on the command line, and in the directory of a stopped server.

. tests/lib.sh
firekeep=build/firekeep
port=$(free_ports 1)
url=http://127.0.0.1:$port
hour=(start=1700000000 end=1700003600 step=15)
quotient='sum by (job) (rate(load_total[5m])) / on (job) group_left () count by (job) (load_total)'

# 60 series of two jobs; an hour, and one more of each later: the first in a part, the second in memory.
make_samples() { # FIRST-T
    awk -v first="$1" 'BEGIN {
        for (s = 0; s < 60; s++) for (t = 0; t < 240; t++)
            printf "load_total{job=\"%s\",series=\"%02d\"} %d %.0f\n",
                s % 2 ? "a" : "b", s, (t + 1) * (s + 7) * 37 % 7919 + t * 8000, (first + t * 15) * 1000
    }' >"$work/$1.prom"
}

fill() {
    make_samples 1700000000 && make_samples 1700003600 &&
        "$firekeep" import --url="$url" "$work/1700000000.prom" &&
        curl -sf --noproxy '*' -X POST "$url/api/v1/admin/tsdb/flush" &&
        "$firekeep" import --url="$url" "$work/1700003600.prom"
}

explain() { # PARAMETER...
    local arguments=()
    for parameter in "$@"; do arguments+=(--data-urlencode "$parameter"); done
    curl -s --noproxy '*' "${arguments[@]}" "${at:-$url}/api/v1/explain"
}

# The value of a Python expression about the answer d.
holds() { # EXPRESSION PARAMETER...
    local text
    text=$(explain "${@:2}")
    echo "$text" | head -c 2000
    python3 -c "import json, sys
d = json.loads(sys.argv[1])
def walk(n):
    yield n
    for c in n['children']: yield from walk(c)
def figures(n): return [n[k] for k in ('series', 'blocks', 'samples', 'bytes')]
sys.exit(not ($1))" "$text"
}

# Checks that a run reads what was predicted; samples in blocks that extend beyond the range are
# estimated in proportion.
comes_true() { # PARAMETER...
    local before after
    before=$(explain "$@")
    after=$(explain "$@" analyze=true)
    python3 - "$before" "$after" <<'END'
import json, sys

before, after = [json.loads(text)["data"] for text in sys.argv[1:]]

def check(x, y):
    assert x["operator"] == y["operator"] and x["detail"] == y["detail"], (x, y)
    for key in ("blocks", "bytes"):
        assert x[key] == y[key], (x["detail"], key, x[key], y[key])
    assert abs(x["samples"] - y["samples"]) <= x["blocks"], (x["samples"], y["samples"])
    assert x["series"] is None or x["series"] >= y["series"], (x["series"], y["series"])
    assert y["operator"] == "subquery" or y["ms"] >= 0
    assert len(x["children"]) == len(y["children"])
    if "exact" in x:
        assert x["exact"] and (x["series"] == y["series"] or y["operator"] == "absent")
    for a, b in zip(x["children"], y["children"]):
        check(a, b)

check(before, after)
stats = after["stats"]
assert stats["samples"] == after["samples"] and stats["bytes"] == after["bytes"], stats
assert sum(1 for _ in before["children"]) == 0 or "limits" in before
print(json.dumps(after)[:1500])
END
}

status_is() { # STATUS TEXT PARAMETER...
    local text
    text=$(explain "${@:3}" | head -c 4000)
    echo "$text"
    [[ $(curl -s --noproxy '*' -o /dev/null -w '%{http_code}' -G $(printf -- '--data-urlencode %s ' "${@:3}") \
        "$url/api/v1/explain") == "$1" && $text == *"$2"* ]]
}

refuses_query() { # TEXT PARAMETER...
    local arguments=() text
    for parameter in "${@:2}"; do arguments+=(--data-urlencode "$parameter"); done
    text=$(curl -s --noproxy '*' -w ' %{http_code}' "${arguments[@]}" "$url/api/v1/query_range")
    echo "$text"
    [[ $text == *"$1"* && $text == *' 422' ]]
}

claim "starts" start_firekeep firekeep "$work/data" "$port" --web.enable-admin-api --query.slow-log=1ms
claim "two hours of 60 series are stored" fill

# --- over HTTP ------------------------------------------------------------------------------------

for expression in 'load_total' 'load_total{job="a"} offset 10m' 'rate(load_total[5m])' "$quotient" \
    'topk(3, load_total) > 1' 'max_over_time(sum(rate(load_total[1m]))[10m:1m])' 'absent_over_time(nothing[5m])' \
    'quantile(0.9, load_total @ 1700000900) or vector(time())' 'load_total * scalar(sum(load_total))'; do
    claim "of one time it comes true: $expression" comes_true "query=$expression" time=1700005000
    claim "and of a range" comes_true "query=$expression" "${hour[@]}"
done
claim "a range vector, too" comes_true 'query=load_total[30m]' time=1700004500
claim "a plan has steps, groups and what is held" holds \
    "d['data']['operator'] == 'binary operator' and 'holds the series of the right' in d['data']['detail'] and
    '241 steps' in d['data']['children'][0]['children'][0]['detail']" "query=$quotient" "${hour[@]}"
claim "series, blocks and samples are those that are stored" holds \
    "figures(d['data'])[0] == 60 and figures(d['data'])[2] == 28800" 'query=load_total[3h]' time=1700010000
claim "what is not known before is null" holds "d['data']['series'] is None" \
    'query=count_values("v", load_total)' time=1700000900
claim "a run has times and memory" holds \
    "all('ms' in n for n in walk(d['data'])) and d['data']['peak_bytes'] > 0 and d['data']['stats']['peak_samples'] > 0" \
    'query=sum by (job) (load_total)' time=1700000900 analyze=true
claim "a run has the warnings of a query" holds "'quantile value' in d['warnings'][0]" \
    'query=quantile(2, load_total)' time=1700000900 analyze=true
at=$url/prometheus claim "it is below /prometheus, too" holds "d['data']['series'] == 60" query=load_total time=1700000900
claim "an expression that is none is refused" status_is 400 'parse error: unclosed left parenthesis' 'query=sum('
# However fast the machine is, this takes longer than a millisecond.
slow_is_logged() {
    curl -s --noproxy '*' "$url/api/v1/query" -d time=1700005000 \
        --data-urlencode 'query=max_over_time(sum(rate(load_total[5m]))[1h:1s])' >/dev/null
    grep -q 'query: slow.*plan=".*60 series, .* blocks, .* samples, .* bytes' "$work/firekeep.log"
}
claim "the log of slow queries has the plan" within 10 slow_is_logged

# --- on the command line --------------------------------------------------------------------------

claim "a table of the plan" says 'operator ' 0 "$firekeep" query --url="$url" --explain --time=1700000900 "$quotient"
claim "a table of a run" says 'memory at most' 0 "$firekeep" query --url="$url" --analyze --time=1700000900 "$quotient"

# --- limits ---------------------------------------------------------------------------------------

claim "it stops" stop firekeep
claim "starts with limits" start_firekeep firekeep "$work/data" "$port" --query.max-series=50 \
    --query.max-samples-read=13000
claim "a query is told which limit, and who tells more" refuses_query \
    'query reads more than 50 series (query.max_series): use narrower matchers or a shorter time range; /api/v1/explain tells' \
    query=load_total "${hour[@]}"
claim "explain tells what it needs" holds \
    "d['data']['limits'][0] == {'name': 'query.max_series', 'limit': 50, 'needs': 60} and
    'would be refused: it reads 60 series, and query.max_series is 50' in d['warnings'][0] and len(d['warnings']) == 2" \
    query=load_total "${hour[@]}"
claim "and the command line, on standard error" says 'warning: the query would be refused: it reads 60 series' 0 \
    "$firekeep" query --url="$url" --explain --time=1700000900 load_total
claim "a run is refused as the query is" status_is 422 'query.max_series' query=load_total time=1700000900 analyze=true

done_testing
