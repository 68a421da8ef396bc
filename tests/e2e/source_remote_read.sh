#!/bin/bash
# source_remote_read.sh - samples in other stores are read by remote read, exactly.
#
#   samples --remote write--> store: a Firekeep, a Prometheus 2.42, a Prometheus 3
#   store <--remote read-- a Firekeep that stores nothing <--PromQL, remote read, look-ups-- us
#                                                         <--remote read-- a Prometheus without data
#
# The Firekeep between must give the answers of a Firekeep that stores the samples itself. Then
# operations: a missing source, external labels, times, tenants, a reload while queries run.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh # head_of
# shellcheck source=tests/questions_lib.sh
. tests/questions_lib.sh
newer=$PEERS/prometheus/usr/bin/prometheus
mapfile -t ports < <(free_ports 6)
whole=(--start 1 --end 9000000000000)

# --- the actors ---

write_config() { # NAME MODE LINE...
    local name=$1 mode=$2
    shift 2
    {
        echo "storage: {path: $work/$name, mode: $mode}"
        echo "tenancy: {enabled: ${tenancy:-false}}"
        echo 'sources:'
        printf -- '- %s\n' "$@"
    } >"$work/$name.yml"
}

between() { # NAME MODE PORT LINE...
    local name=$1 mode=$2 on=$3
    shift 3
    write_config "$name" "$mode" "$@"
    at[$name]=http://127.0.0.1:$on
    mkdir -p "$work/$name"
    start "$name" build/firekeep serve "$small_log" "--config.file=$work/$name.yml" "--web.listen-address=127.0.0.1:$on" --web.enable-lifecycle
    wait_ready "$name" "${at[$name]}/-/ready"
}

reload() { # NAME MODE LINE...
    write_config "$@"
    curl -fs --noproxy '*' -o /dev/null -X POST "${at[$1]}/-/reload"
}

get() { # NAME PATH [CURL-ARGUMENT...]
    local name=$1 path=$2
    shift 2
    curl -s --noproxy '*' --max-time 60 -G "${at[$name]}/api/v1/$path" "$@"
}

stored_here() { # NAME PORT CAPTURE
    at[$1]=http://127.0.0.1:$2
    start_firekeep "$1" "$work/$1" "$2" && is_sent "$3" "${at[$1]}"
}

# --- samples ---

# A minute apart, for 40 minutes: counters, gauges with all kinds of floats, staleness markers, native
# histograms of all kinds, names and values of any UTF-8, label sets that are prefixes of others.
samples_text() { # BEGIN-MS
    awk -v begin="$1" 'BEGIN {
        split("1 -0 0x7ff0000000000002 NaN 0x7ff8000000000001 +Inf -Inf 5e-324 1e308 0.1", odd, " ")
        for (n = 0; n < 40; n++) {
            t = sprintf("%.0f", begin + n * 60000 + n % 7)
            for (i = 0; i < 12; i++) {
                printf "requests_total{instance=\"i%d\",job=\"a\"} %d %s\n", i % 6, n * (i + 1) + (i > 5), t
                if (i >= 6) printf "requests_total{instance=\"i%d\",job=\"a\",path=\"/%d\"} %d %s\n", i % 6, i, n * 7, t
            }
            for (i = 1; i <= 10; i++) printf "odd{n=\"%d\"} %s %s\n", i, odd[i], t
            printf "strange{quote=\"a\\\"b\",back=\"\\\\\",regex=\".*(+\",comma=\"x,y=z\",line=\"1\\n2\",snow=\"\xe2\x98\x83\"} %d %s\n", n, t
            printf "prefix{a=\"1\"} 1 %s\nprefix{a=\"1\",b=\"2\"} 2 %s\nprefix{a=\"1\",zz=\"2\"} 3 %s\n", t, t, t
            if (n < 20) printf "short_lived 1 %s\n", t
            if (n == 20) printf "short_lived 0x7ff0000000000002 %s\n", t
        }
    }' | awk '!seen[$1 " " $NF]++'
}

histograms_text() { # BEGIN-MS
    awk -v begin="$1" 'BEGIN {
        for (n = 0; n < 40; n++) {
            t = sprintf("%.0f", begin + n * 60000)
            m = n < 25 ? n : n - 25
            printf "@histogram h{kind=\"int\"} %s kind=int schema=3 hint=0 threshold=0.001 zero=2 sum=%d count=%d pos=-2:2,3:1/%d,3,2\n", t, n, 7 + m + 1, m + 1
            printf "@histogram h{kind=\"float\"} %s kind=float schema=0 hint=0 threshold=0 zero=0.5 sum=-3.25 count=%s pos=0:2/1.5,%d\n", t, 2 + m, m
            printf "@histogram h{kind=\"gauge\"} %s kind=int schema=1 hint=3 threshold=0 zero=1 sum=%d count=%d pos=%d:1/%d\n", t, n, 1 + n * 5 % 9, n % 3, n * 5 % 9
        }
    }'
}

# --- claims ---

is_same() { # A B ARGUMENT...
    local a=$1 b=$2
    shift 2
    "$TOOLS/rrcompare" "${at[$a]}" "${at[$b]}" "${whole[@]}" "$@"
}

same_pages() { # A B: pages on standard input
    python3 tests/tools/same_pages.py "${at[$1]}" "${at[$2]}"
}

lookups=(
    'labels'
    'labels --data-urlencode match[]=requests_total{instance="i1"}'
    'labels --data-urlencode match[]=none_such'
    'label/__name__/values'
    'label/job/values'
    'label/job/values --data-urlencode match[]={instance=~"i[12]"}'
    'label/none/values'
    'label/instance/values --data-urlencode match[]=requests_total --data-urlencode match[]=odd'
    'series --data-urlencode match[]={__name__=~".+"}'
    'series --data-urlencode match[]=requests_total{path=""} --data-urlencode match[]=strange'
    'series --data-urlencode match[]={regex=".*(+"}'
    'series --data-urlencode match[]={quote=~"a\"b",comma!="x"}'
)

same_lookups() { # A B
    printf "%s\tstart=$start_s\tend=$end_s\n" "${lookups[@]// --data-urlencode /$'\t'}" | same_pages "$1" "$2"
}

own=(
    'rate(requests_total[5m])' 'sum by (job) (increase(requests_total[10m]))' 'odd' 'odd offset 3m'
    'strange' '{snow="☃"}' '{quote=~".*\".*"}' 'strange{nothing=""}' 'prefix' 'sum(prefix) by (b)'
    'short_lived' 'absent(short_lived)' 'count({__name__=~".+"})' 'topk(2, prefix)' 'requests_total / on (instance, path) requests_total'
    'max_over_time(rate(requests_total[3m])[10m:1m])' 'last_over_time(odd[1h])' 'changes(odd[20m])' 'timestamp(prefix)' 'count_values("v", odd)'
    'sum without (path) (rate(requests_total[4m]))' 'quantile_over_time(0.9, requests_total[15m])' 'deriv(requests_total[10m])'
    'predict_linear(requests_total[10m], 600)' 'label_replace(prefix, "c", "$1$1", "a", "(.)")' 'clamp_max(requests_total, 300) ^ 2'
    'requests_total{path=""} and on (instance) (requests_total{path!=""} < 90)' 'avg by (instance) (requests_total) > 100' 'stddev(requests_total)'
    'requests_total @ end() - requests_total @ start()' 'sum_over_time((requests_total > 50)[20m:2m])' 'irate(requests_total{instance!~"i[0-2]"}[5m])'
    'bottomk(3, requests_total{path!=""})' 'group by (job) ({job=~"a|",__name__!=""})' 'resets(requests_total[30m]) + on (instance) group_left () count by (instance) (requests_total)'
)
# Prometheus 2.42 itself has another result: there a dot does not match a line feed, and \Q cannot
# be left open.
own_regexes=('count({line=~"1.2"})' '{line!~"1.*",__name__=~"strange|prefix"}' 'strange{line=~".*\\Q2"}' '{line=~".*",quote!=""}' 'strange{line=~"(?-s)1.2"}')
own_histograms=('h' 'histogram_quantile(0.5, h)' 'rate(h[5m])' 'sum(h{kind!="gauge"})' 'histogram_count(increase(h[10m]))' 'resets(h[1h])')

same_questions() { # A B QUESTION...
    local question
    for question in "${@:3}"; do
        printf '%s\t' query_range "query=$question" "start=$start_s" "end=$end_s"
        printf '%s\n' step=45
        printf '%s\t' query "query=$question"
        printf '%s\n' "time=$((start_s + 1200))"
    done | same_pages "$1" "$2"
}

# --- samples that were written ---

make_samples() {
    start_s=$(($(date +%s) - 3600))
    end_s=$((start_s + 2400))
    samples_text "${start_s}000" >"$work/floats.txt"
    histograms_text "${start_s}000" >"$work/histograms.txt"
    "$TOOLS/rwmake" <"$work/floats.txt" >"$work/floats.rw" &&
        cat "$work/floats.txt" "$work/histograms.txt" | "$TOOLS/rwmake" --version 2 >"$work/all.rw"
}

# A reader of the store at[peer], compared with at[store]. A Prometheus loses the sign of -0 in SAMPLES.
round() { # NAME PROTOBUF COMPARE-ARGUMENT...
    local name=$1 protobuf=$2 questions=("${own[@]}")
    shift 2
    [[ $* != *'n!="2"'* ]] || questions=("${own[@]//odd/odd{n!=\"2\"\}}")
    claim "$name, $protobuf: a Firekeep that stores nothing starts" between between none "${ports[3]}" \
        "{name: peer, type: remote_read, url: '${at[peer]}/api/v1/read', protobuf: $protobuf}" || return
    claim "$name, $protobuf: samples are the same, streamed" is_same store between --streamed "$@"
    claim "$name, $protobuf: samples are the same, as SAMPLES" is_same store between "$@"
    # Of what else it has, a Prometheus names what is outside of the times.
    [[ $name == *Prometheus* && $protobuf == auto ]] ||
        claim "$name, $protobuf: names, values and series are the same" same_lookups store between
    claim "$name, $protobuf: PromQL says the same" same_questions store between "${questions[@]}"
    claim "$name, $protobuf: regexes mean the same" same_questions store between "${own_regexes[@]}"
    claim "$name, $protobuf: and find something" has between '"value":' query "query=${own_regexes[2]}" "time=$((start_s + 1200))"
    claim "$name, $protobuf: and in look-ups" has between 'strange' series 'match[]={line=~"1.2"}'
    [[ ! $name =~ Firekeep|3 || $* == *'n!="2"'* ]] ||
        claim "$name, $protobuf: PromQL over histograms says the same" same_questions store between "${own_histograms[@]}"
}

# More of both: captures, and series that are hard to write, which are copied to the store.
seed=${SEED:-$RANDOM}
adds_captures() {
    local name
    for name in node15s:6 v2hist:200; do
        head_of "$SAMPLES/${name%:*}.rw" "${name#*:}" >"$work/part.rw"
        is_sent "$work/part.rw" "${at[store]}" && is_sent "$work/part.rw" "${at[peer]}" || return 1
    done
}
adds_random() { # FILTER of jq: what the store has a name for
    python3 tests/tools/random_matchers.py series "$seed" 120 | jq -c "select($1)" >"$work/random.ndjson" &&
        build/firekeep import --url="${at[store]}" "$work/random.ndjson" &&
        build/firekeep copy --url="${at[store]}" --start=2023-11-14T00:00:00Z --end=2023-11-16T00:00:00Z --work="$work/copy" \
            --verify-from="${at[peer]}/api/v1/read" local "${at[peer]}/api/v1/write"
    local status=$?
    rm -rf "${work:?}/copy"
    return $status
}

# First as SAMPLES, in which not all samples of a Prometheus are right; then with everything.
rounds() { # NAME FILTER CAPTURE COMMAND...: starts the store
    local name=$1 signs=()
    claim "$name: its samples are stored here" stored_here store "${ports[0]}" "$3" &&
        claim "$name: it starts" "${@:4}" && claim "$name: it has the samples" is_sent "$3" "${at[peer]}" || return
    [[ $name == *Firekeep* ]] || signs=(--ignore-bounds --match '{n!="2"}')
    round "$name" samples "${signs[@]}"
    stop between
    if [[ $name != *2.42 && -n $SAMPLES && -f $SAMPLES/v2hist.rw ]]; then
        claim "$name: it has captures" adds_captures
    else
        skip "$name: captures" "no captures beside the project, or no place for them"
    fi
    claim "$name, seed $seed: it has series that are hard to write" adds_random "$2"
    round "$name" auto ${signs[0]+"${signs[0]}"}
    claim "$name, seed $seed: ${CASES:-20} random questions are answered the same" \
        python3 tests/tools/random_matchers.py compare "$seed" "${CASES:-20}" "${at[store]}" "${at[between]}"
    [[ $name == *Firekeep* ]] || {
        claim "$name: a Prometheus without data starts" prometheus_at reader "$6" "${ports[2]}" "${at[between]}"
        all_the_same "$name, read by a Prometheus" peer reader "${own[@]}"
        stop reader
    }
    stop between
}
ends_rounds() {
    stop peer
    stop store
    rm -rf "${work:?}"/{peer,reader,store}
}

# --- operations ---

has() { # NAME PATTERN PATH [PARAMETER...]
    local arguments=() parameter
    for parameter in "${@:4}"; do arguments+=(--data-urlencode "$parameter"); done
    get "$1" "$3" "${arguments[@]}" >"$work/page"
    grep -qE -- "$2" "$work/page" || {
        head -c 400 "$work/page"
        return 1
    }
}

all_have() { # CASE: for each line, NAME|PATTERN|PATH PARAMETER..., of words without blanks
    local name pattern page
    while IFS='|' read -r name pattern page; do
        # shellcheck disable=SC2086 # words
        claim "$1: $name" has between "$pattern" $page
    done
}

round_external() {
    claim "external labels: it starts" between between none "${ports[3]}" \
        "{name: peer, type: remote_read, url: '${at[peer]}/api/v1/read', external_labels: {b: far, site: s1}}" || return
    all_have "external labels" <<END
they are put on, and win|"b":"far".*"site":"s1"|query query=prefix{a="1",zz="2"} time=$end_s
series that they make one are one|"2"\]}\]|query query=count(prefix) time=$end_s
they are matched|"result":\[\{|query query=prefix{site="s1"} time=$end_s
what they do not match is not there|"result":\[\]|query query=prefix{site!="s1"} time=$end_s
their values are looked up|\["far"\]|label/b/values
their names are looked up|"b",.*"site"|labels
END
    claim "external labels: series are in order" is_same between between --streamed
    stop between
}

round_merged() {
    local cut_ms=$(((start_s + 1200) * 1000)) time
    awk -v cut="$cut_ms" '$1 == "@histogram" ? $3 >= cut : $NF >= cut' "$work/floats.txt" "$work/histograms.txt" |
        "$TOOLS/rwmake" --version 2 >"$work/late.rw"
    for time in older_than_local all; do
        claim "merged, $time: it starts" between merged local "${ports[3]}" \
            "{name: peer, type: remote_read, url: '${at[peer]}/api/v1/read', time: $time}" || return
        claim "merged, $time: it stores the later half" is_sent "$work/late.rw" "${at[merged]}"
        claim "merged, $time: both are one" is_same store merged --streamed
        claim "merged, $time: PromQL says the same" same_questions store merged "${own[@]}" "${own_histograms[@]}"
        claim "merged, $time: look-ups say the same" same_lookups store merged
        claim "merged, $time: the source alone has the earlier half" has merged '"prefix"' label/__name__/values source=peer "end=$((start_s + 600))"
        claim "merged, $time: the store alone does not" has merged '"data":\[\]' label/__name__/values source= "end=$((start_s + 600))"
        stop merged
        rm -rf "${work:?}/merged"
    done
}

round_gone() {
    local nobody
    nobody=$(free_ports 1)
    claim "gone: it starts" between between local "${ports[3]}" \
        "{name: far, type: remote_read, url: 'http://127.0.0.1:$nobody/api/v1/read', timeout: 3s}" || return
    all_have gone <<'END'
the query fails and names the source|"errorType":"unavailable","error":"source far: |query query=up
so does a look-up|"error":"source far: |labels
and one of this source alone|"error":"source far: |labels source=far
the store alone answers|"status":"success","data":\[|labels source=
no other source is there|"errorType":"bad_data","error":"there is no source \\"near\\""|labels source=near
store and sources are listed|"data":\[\{"name":"","type":"store"\},\{"name":"far","type":"remote_read"\}\]|sources
a search of this source alone fails|"error":"source far: |search/metric_names source=far
a search of the store alone does not|"has_more":false|search/metric_names source=
END
    claim "gone: metrics count it" within 20 eval 'curl -s --noproxy "*" "${at[between]}/metrics" | grep -q "firekeep_source_errors_total{source=\"far\",kind=\"connect\"} [1-9]"'
    claim "gone: with on_error: warn it is reloaded" reload between local \
        "{name: far, type: remote_read, url: 'http://127.0.0.1:$nobody/api/v1/read', timeout: 3s, on_error: warn}"
    claim "gone: the query answers with a warning" has between '"result":\[\].*"warnings":\["source far: ' query query=up
    claim "gone: so does a look-up" has between '"warnings":\["source far: ' labels
    claim "gone: remote read, which cannot tell of it, fails" eval '! "$TOOLS/rrcompare" "${at[between]}" "${at[between]}" "${whole[@]}"'
    claim "gone: other times do not ask it" reload between local \
        "{name: far, type: remote_read, url: 'http://127.0.0.1:$nobody/api/v1/read', time: {to: 300d}}"
    claim "gone: and the query answers" has between '"status":"success".*"result":\[\]' query query=up
    claim "gone: its page says what it did" has between '"name":"far".*"failedQueries":[1-9].*"connect":[1-9]' status/sources
    claim "gone: and what failed last, and when" has between '"lastError":"http://127[^"]*","lastErrorAt":"20' status/sources
    stop between
}

round_tried() {
    local nobody
    nobody=$(free_ports 1)
    write_config tried none "{name: peer, type: remote_read, url: '${at[peer]}/api/v1/read'}" \
        "{name: far, type: remote_read, url: 'http://127.0.0.1:$nobody/api/v1/read', timeout: 2s}"
    claim "tried: one that works shows a series" eval 'build/firekeep sources test peer --config.file="$work/tried.yml" | grep -E "ok      series: .*, [0-9]+ samples until [^,]*$"'
    claim "tried: one that is not there is told" eval '! build/firekeep sources test far --config.file="$work/tried.yml" >"$work/tried.txt" && grep "FAILED  query: connect: source far: http" "$work/tried.txt"'
    claim "tried: a name that is near is suggested" eval '! build/firekeep sources test pear --config.file="$work/tried.yml" 2>"$work/tried.txt" && grep "did you mean .peer" "$work/tried.txt"'
}

round_reload() {
    local i answers
    claim "reload: it starts" between between none "${ports[3]}" "{name: one, type: remote_read, url: '${at[peer]}/api/v1/read'}" || return
    answers=$work/answers.txt
    (for ((i = 0; i < 60; i++)); do
        get between query_range --data-urlencode 'query=count({__name__=~".+"})' -d "start=$start_s" -d "end=$end_s" -d step=60 | md5sum
    done) >"$answers" &
    for ((i = 0; i < 20; i++)); do
        reload between none "{name: n$i, type: remote_read, url: '${at[peer]}/api/v1/read', timeout: $((i + 5))s}" || echo "not ok reload $i"
    done
    wait $!
    claim "reload: queries under way are answered, all alike" eval '(($(wc -l <"$answers") == 60 && $(sort -u "$answers" | wc -l) == 1))'
    claim "reload: a bad configuration is refused" eval '! reload between none "{name: bad, type: remote_read}"'
    claim "reload: and changes nothing" has between '"name":"n19"' status/sources
    stop between
}

round_tenants() {
    at[tenants]=http://127.0.0.1:${ports[4]}
    claim "tenants: a store with tenants starts" start_firekeep tenants "$work/tenants" "${ports[4]}" --tenancy.enabled=true || return
    claim "tenants: one has samples" "$TOOLS/rwreplay" "$work/floats.rw" "${at[tenants]}" --header 'X-Scope-OrgID: one' --check
    tenancy=true claim "tenants: it starts" between between none "${ports[3]}" \
        "{name: t, type: remote_read, url: '${at[tenants]}/api/v1/read', tenants: [one, two], tenant_header: X-Scope-OrgID}" || return
    claim "tenants: the one's samples are the same" "$TOOLS/rrcompare" "${at[tenants]}" "${at[between]}" "${whole[@]}" --streamed --header 'X-Scope-OrgID: one'
    tenant_has() { # TENANT PATTERN PATH...
        get between "${@:3}" -H "X-Scope-OrgID: $1" | tee "$work/page"
        grep -qE -- "$2" "$work/page"
    }
    claim "tenants: the other has none" tenant_has two '"data":\[\]' labels
    claim "tenants: of a third it is not asked" tenant_has three '"data":\[\]' labels
    claim "tenants: both at once are told apart" tenant_has 'one|two' '"__tenant_id__":"one"' series --data-urlencode 'match[]=prefix'
    stop between
    stop tenants
}

claim "samples are made" make_samples || exit 1
at[peer]=http://127.0.0.1:${ports[1]}
rounds "a Firekeep" true "$work/all.rw" start_firekeep peer "$work/peer" "${ports[1]}"
ends_rounds
claim "they are stored here" stored_here store "${ports[0]}" "$work/all.rw" || exit 1
claim "and there" stored_here peer "${ports[1]}" "$work/all.rw" || exit 1
round_external
round_merged
round_gone
round_tried
round_reload
ends_rounds
# The older one takes no other names, and no histograms.
for program in prometheus "$newer"; do
    if [[ $program == prometheus ]]; then
        name="a Prometheus 2.42" capture=$work/floats.rw filter='.labels | to_entries | all(.key | test("^[a-zA-Z_][a-zA-Z0-9_]*$")) and
            all(.key != "__name__" or (.value | test("^[a-zA-Z_:][a-zA-Z0-9_:]*$")))'
    else
        name="a Prometheus 3" capture=$work/all.rw filter=true
    fi
    if command -v "$program" >/dev/null; then
        rounds "$name" "$filter" "$capture" prometheus_at peer "$program" "${ports[1]}"
        ends_rounds
    else
        skip "$name" "$program is not there"
    fi
done
round_tenants
done_testing
