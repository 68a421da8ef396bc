#!/bin/bash
# downsampling.sh - six days of samples are downsampled by merges that are killed, and every reader is
# asked before and after: exact answers stay the same, and others say that they are approximate.

. tests/lib.sh
mapfile -t ports < <(free_ports 2)
url=http://127.0.0.1:${ports[0]}
# shellcheck disable=SC2034 # used in claims
peer_url=http://127.0.0.1:${ports[1]}
program=${PEERS:-}/prometheus/usr/bin/prometheus
[[ -x $program ]] || program=$(command -v prometheus)
dir=$work/data
hour=3600
end=$(($(now_ms) / 1000 / hour * hour - 40 * hour)) # merges downsample days that are over
first=$((end - 144 * hour))
all=(--start "$first" --end "$end")
rounding='
def values: [.data.result[] | .metric as $m | (.values // [.value])[] |
             {key: "\($m | tojson) \(.[0])", value: (.[1] | tonumber)}] | from_entries;
def near($a; $b): $a == $b or ($a - $b | fabs) <= 1e-9 * (($a | fabs) + ($b | fabs) + 1);
(.[0] | values) as $a | (.[1] | values) as $b |
($a | length) > 0 and ($a | keys) == ($b | keys) and all($a | keys[]; near($a[.]; $b[.]))'

fetch() { # PATH [ARGUMENT...]
    curl -fsSg --noproxy '*' --max-time 60 "$url$1" "${@:2}"
}

# Counters and gauges, of a sample each 15 s and each minute, and a native histogram each 15 s.
# Counters restart about once per hour.
samples() {
    awk -v first="$first" -v end="$end" '
    function histogram(t,   k, reset, all, text) {
        reset = rand() < 0.004
        sum = reset ? 0 : sum + 80 * rand()
        for (k = 0; k < 8; k++) {
            bucket[k] = reset ? 0 : bucket[k] + int(rand() * 20)
            all += bucket[k]
            text = text (k > 0 ? "," : "") bucket[k]
        }
        printf "@histogram h{job=\"fast\",i=\"0\"} %d000 schema=0 sum=%.3f count=%d pos=-2:8/%s\n",
            t, sum, all, text
    }
    BEGIN {
        srand(7)
        for (t = first + 7; t < end; t += 15) {
            for (i = 0; i < 3; i++) {
                count[i] = rand() < 0.004 ? 0 : count[i] + int(rand() * 5000)
                printf "c_total{job=\"fast\",i=\"%d\"} %d %d000\n", i, count[i], t
                printf "g{job=\"fast\",i=\"%d\"} %.3f %d000\n", i, 20 + 10 * rand(), t
            }
            if (t % 60 == (first + 7) % 60) printf "g{job=\"slow\",i=\"0\"} %d %d000\n", int(rand() * 100), t
            histogram(t)
            if (++n % 400 == 0) print "---"
        }
    }'
}

settings() { # [RULE...]
    printf 'web: {enable_admin_api: true}\n' >"$work/firekeep.yml"
    (($# == 0)) || {
        printf 'downsampling:\n'
        printf '  - %s\n' "$@"
    } >>"$work/firekeep.yml"
}

begin() {
    start_firekeep server "$dir" "${ports[0]}" --config.file="$work/firekeep.yml"
}

reload() {
    local lines
    lines=$(wc -l <"$work/server.log")
    kill -HUP "${pids[$(_index_of server)]}"
    within 20 eval "tail -n +$((lines + 1)) '$work/server.log' | grep -q 'configuration reloaded'"
}

merge() {
    fetch "/api/v1/admin/tsdb/merge?full=true" -X POST
}

exact=(
    'count_over_time(g[1h])' 'min_over_time(g[2h])' 'max_over_time(g[1h])' 'sum_over_time(g[3h])'
    'avg_over_time(g[1h])' 'present_over_time(g[1h])' 'last_over_time(g[2h])' 'changes(g[1h])'
    'resets(c_total[6h])' 'rate(c_total[1h])' 'increase(c_total[2h])' 'delta(g[1h])' 'g' 'c_total offset 1h'
    'count_over_time(h[1h])' 'changes(h[1h])' 'resets(h[6h])' 'histogram_count(h)' 'histogram_sum(last_over_time(h[1h]))'
    'histogram_quantile(0.9, rate(h[1h]))' 'histogram_sum(increase(h[6h]))' 'histogram_fraction(0, 2, rate(h[2h]))'
    'histogram_count(sum_over_time(h[1h]))' 'histogram_avg(avg_over_time(h[3h]))'
    'sum by (job) (rate(c_total[1h] offset 1h))' 'max_over_time(rate(c_total[1h])[3h:1h])' 'timestamp(g)'
)

ask() { # SERVER FILE QUERY [START END STEP]
    curl -fsS --noproxy '*' --max-time 60 "$1/api/v1/query_range" --data-urlencode "query=$3" \
        -d "start=${4:-$((first + 6 * hour))}&end=${5:-$end}&step=${6:-$hour}" >"$work/$2.json"
}

ask_all() { # SERVER NAME
    local i
    for i in "${!exact[@]}"; do
        ask "$1" "$2-$i" "${exact[i]}" || return
    done
}

same() { # NAME NAME
    local i failed=0
    for i in "${!exact[@]}"; do
        [[ $(jq -s "$rounding" "$work/$1-$i.json" "$work/$2-$i.json") == true ]] && continue
        echo "${exact[i]} differs"
        failed=1
    done
    return "$failed"
}

# An answer has an info if and only if its value is approximate.
no_infos() {
    local i
    for i in "${!exact[@]}"; do
        jq -e '.infos == null' "$work/$1-$i.json" >/dev/null || {
            echo "${exact[i]}: $(jq -c .infos "$work/$1-$i.json")"
            return 1
        }
    done
}

informs() { # QUERY TEXT [START]
    ask "$url" informed "$1" "${3:-$((first + 6 * hour))}" && grep -oF "$2" "$work/informed.json"
}

refuses() { # TEXT CURL-ARGUMENT...
    local got
    got=$(curl -sSg --noproxy '*' --max-time 20 "${@:2}")
    [[ $got == *"$1"* ]] || {
        echo "$got"
        return 1
    }
}

# At each minute within windows of 5 m, the value of the last one that ended.
is_of_ended() {
    local at=$((first + 30 * hour)) minute values
    values=$(fetch /api/v1/query_range --data-urlencode 'query=timestamp(g{job="fast",i="0"})' \
        -d "start=$at&end=$((at + 900))&step=60" | jq -c '[.data.result[0].values[][1] | tonumber]')
    for ((minute = 0; minute <= 15; minute++)); do
        [[ $(jq ".[$minute] == $((at + minute / 5 * 300 - 8))" <<<"$values") == true ]] || {
            echo "minute $minute of $values"
            return 1
        }
    done
}

# The last of each window, and raw samples where a level saves too little.
is_exported() { # ARGUMENT...
    local got
    got=$(build/firekeep export "$@" --format=jsonl "${all[@]}" --match='g{job="slow"}' 2>"$work/export.err" |
        jq -s '[.[].values | length] | add // 0')
    echo "$got of $(grep -c slow "$work/samples.txt")"
    ((got >= 144 && got < 144 * 60 / 4))
}

part_bytes() {
    du -sb "$dir/parts" | cut -f 1
}

# What is known of a rule of the status, or of its resolution.
state() { # JQ-TEST
    fetch /api/v1/status/storage >"$work/storage.json" && jq -e ".data.downsampling as \$d | $1" "$work/storage.json" >/dev/null ||
        {
            jq -c .data.downsampling "$work/storage.json"
            return 1
        }
}

metric() { # NAME-AND-LABELS
    fetch /metrics | grep -F "$1 " | sed 's/.* //'
}

has_downsampled() { # KIND TOTAL
    local got
    got=$(metric 'firekeep_samples_downsampled_total{tenant="anonymous",kind="'"$1"'"}')
    echo "$got of $2"
    ((got > $2 * 4 / 5))
}

is_balanced() { # DIR
    says "balanced" 0 build/firekeep verify "$1"
}

send_late() { # SECONDS in the hour, where samples are at 7, 67, ...
    echo "g{job=\"slow\",i=\"0\"} 5 $((first + 20 * hour + $1))000" | "$TOOLS/rwmake" >"$work/late.rw"
    "$TOOLS/rwreplay" "$work/late.rw" "$url" >"$work/late.out" && fetch /api/v1/admin/tsdb/flush -X POST
}

counts_late() { # METRIC
    local before after
    before=$(metric "$1"'{tenant="anonymous",kind="float"}')
    merge || return
    after=$(metric "$1"'{tenant="anonymous",kind="float"}')
    echo "$before, then $after"
    ((after == before + 1))
}

fast='{match: '"'{job=\"fast\"}'"', after: 1h, resolution: 5m}'
slow='{match: '"'{job=\"slow\"}'"', after: 1h, resolution: 1h}'
samples >"$work/samples.txt"
total=$(grep -c '^[cg]' "$work/samples.txt")
"$TOOLS/rwmake" <"$work/samples.txt" >"$work/samples.rw"
settings
claim "starts" begin || done_testing
claim "takes six days of eight series" "$TOOLS/rwreplay" "$work/samples.rw" "$url"
claim "flushes and merges" eval 'fetch /api/v1/admin/tsdb/flush -X POST && merge'
claim "answers over raw samples" ask_all "$url" raw
raw_bytes=$(part_bytes)
settings "$fast" "$slow" # which the server does not have yet: a merge cannot come before the plan
claim "a plan notes that ages do not count from the clock" says "note: ages count back from" 0 \
    build/firekeep plan --url="$url" "$work/firekeep.yml"
claim "it says what windows would replace" eval \
    'build/firekeep plan --format=json --url="$url" "$work/firekeep.yml" | jq -e "[.rules[] | select(.rule == \"downsampling\")] |
        map(.resolution) == [\"5m\", \"1h\"] and map(.series) == [7, 1] and all(.[]; .samples > 0 and .bytes > 0)"'
claim "SIGTERM ends it with status 0" stop server
claim "starts with rules" begin
for ((i = 1; i <= 3; i++)); do
    fetch "/api/v1/admin/tsdb/merge?full=true" -X POST >/dev/null 2>&1 &
    doze "0.0$i"
    crash server
    claim "kill $i in a merge: it starts again" begin
done
claim "kills: exact answers are the same" eval 'ask_all "$url" killed && same raw killed'
claim "a full merge downsamples" merge
claim "the log says before a merge what it will replace" grep -q \
    'downsampling rule will replace samples.*resolution=5m.* series=7 samples=[1-9]' "$work/server.log"
crash server
claim "a kill after it: it starts again" begin
claim "the status has what rules replaced, and the windows" state \
    "([\$d.rules[].replaced.samples] | add) == $(metric 'firekeep_samples_downsampled_total{tenant="anonymous",kind="float"}') +
     $(metric 'firekeep_samples_downsampled_total{tenant="anonymous",kind="histogram"}') and
     [\$d.resolutions[].resolutionSeconds] == [300, 3600]"
claim "partitions have windows, too" state \
    '([.data.partitions[].resolutions[].rows] | add) == ([$d.resolutions[].rows] | add)'
claim "metrics are by rule and resolution" eval \
    '(($(metric "firekeep_downsampling_rule_replaced_samples_total{match=\"{job=\\\"fast\\\"}\",tenants=\"\",resolution=\"5m\"}") > 0 &&
    $(metric "firekeep_downsampled_rows{resolution=\"1h\"}") > 0))'
claim "exact answers are the same" eval 'ask_all "$url" rolled && same raw rolled'
claim "they have no infos" no_infos rolled
claim "bytes are less than a third" eval 'echo "$(part_bytes) of $raw_bytes"; (($(part_bytes) * 3 < raw_bytes))'
claim "within a window a series has what ended" is_of_ended
claim "an older value has an info" informs 'g{job="slow"}' "values are up to 1h older" $((first + 6 * hour + 60))
claim "a widened range has an info" informs 'rate(c_total[2m])' "widened to whole windows"
claim "a quantile has an info" informs 'quantile_over_time(0.5, g[1h])' "quantile_over_time() is approximate"
claim "irate of histograms has an info" informs 'histogram_count(irate(h[1h]))' "irate() is approximate"
claim "irate has an info" informs 'irate(c_total[1h])' "irate() is approximate"
claim "only raw samples: an error says until when" refuses "max_source_resolution is 0s" \
    "$url/api/v1/query?query=g&time=$((first + 50 * hour))&max_source_resolution=0s"
claim "windows of an hour may be used" fetch "/api/v1/query?query=g&time=$end&max_source_resolution=1h"
claim "an export has the last samples" is_exported --url="$url"
claim "with a warning, too" grep -q "warning: .*downsampled to 1h" "$work/export.err"
claim "an export with --partial is complete" eval \
    'is_exported --url="$url" --partial && ! grep "incomplete" "$work/export.err"'
claim "the ledger counts floats that windows replaced" has_downsampled float "$total"
claim "and histograms" has_downsampled histogram $((144 * 240))
claim "a sample of a window comes again" send_late 1807
claim "a sample of a window that comes again is counted" counts_late firekeep_samples_superseded_by_windows_total
claim "a sample that a window lacks comes late" send_late 1800
claim "a query says that it is left out" informs 'sum_over_time(g{job="slow"}[1h])' "arrived after their time was downsampled are left out" \
    $((first + 21 * hour))
claim "a sample that a window lacks is counted" counts_late firekeep_samples_missed_by_windows_total
claim "federation works" eval 'fetch "/federate?match[]=g" >/dev/null'
claim "remote read has the last samples" eval \
    '"$TOOLS/rrcompare" "$url" "$url" --start $((first * 1000)) --end $((end * 1000)) --quiet'
claim "the log says that they are" within 10 grep -q 'answered with downsampled samples' "$work/server.log"
claim "level=raw refuses them" eval '! "$TOOLS/rrcompare" "$url/api/v1/read?level=raw" "$url" \
    --start $((first * 1000)) --end $((end * 1000)) >"$work/level.txt" 2>&1 && grep -q "level=raw" "$work/level.txt"'
settings '{match: '"'{}'"', after: 1h, resolution: 1h}'
claim "a reload takes a coarser rule" reload
claim "a merge applies it" merge
claim "answers of hours are the same" eval 'ask_all "$url" coarse && same raw coarse'
settings
claim "a reload takes the rules away, and says that windows stay" eval 'reload &&
    grep -q "downsampling rule was removed: .* resolution=1h" "$work/server.log" && merge && ask_all "$url" none && same raw none'
claim "SIGTERM ends it, too" stop server
claim "verify finds nothing wrong" is_balanced "$dir"
claim "it names the rules" eval 'build/firekeep verify "$dir" >"$work/verify.txt" &&
    grep -q "rule of downsampling {}, tenants \"\", windows of 1h: replaced" "$work/verify.txt"'
claim "inspect names rules and resolutions" eval 'build/firekeep inspect --format json "$dir" |
    jq -e "(.ruleCounts | length) == 3 and all(.resolutions[]; .resolution == \"1h\" or .resolution == \"5m\")"'
claim "the directory is exported" is_exported --storage.path="$dir"
claim "with a warning" grep -q "downsampled to 1h" "$work/export.err"

if [[ -x $program ]]; then
    echo 'global: {}' >"$work/prometheus.yml"
    start peer "$program" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/peer" \
        --storage.tsdb.retention.time=100y --web.enable-remote-write-receiver --web.listen-address="127.0.0.1:${ports[1]}" \
        --enable-feature=native-histograms
    claim "Prometheus takes the samples" eval \
        'wait_ready peer "$peer_url/-/ready" && "$TOOLS/rwreplay" "$work/samples.rw" "$peer_url"'
    claim "Prometheus has the same answers over raw samples" eval 'ask_all "$peer_url" peer && same peer rolled'
    stop peer
else
    skip "Prometheus has the same answers over raw samples" "no prometheus"
fi

mkdir "$work/older" && tar xzf tests/golden/2/clean.tar.gz -C "$work/older"
dir=$(dirname "$(find "$work/older" -name MANIFEST | head -n 1)")
settings '{match: '"'{}'"', after: 1h, resolution: 1h}'
claim "an older directory is downsampled" eval 'begin && merge && stop server && is_balanced "$dir"'
done_testing
