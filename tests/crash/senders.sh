#!/bin/bash
# senders.sh - real Prometheus servers lose nothing while Firekeep is killed again and again.
#
#   node exporter, Firekeep, the senders themselves <--scrape-- three senders --remote write--> Firekeep
#
# Prometheus 2.42 with remote write 1.0, Prometheus 3 with 1.0 and with 2.0, the latter two with
# native histograms, and vmagent, which begins with its own protocol until it gets 415. Each scrapes
# every second. For DURATION seconds (35, or 240 with LONG=1) Firekeep is killed, sometimes stopped,
# every few seconds and started again. Then scraping ends, the senders catch up, and Firekeep is
# compared with each sender's own storage (vmagent has none: its samples are only counted).

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
seconds=${DURATION:-$([[ ${LONG-} == 1 ]] && echo 240 || echo 35)}
seed=${SEED:-$RANDOM}
RANDOM=$seed
newer=$PEERS/prometheus/usr/bin/prometheus
agent=$PEERS/victoria-metrics/usr/bin/vmagent
mapfile -t ports < <(free_ports 6)
firekeep=127.0.0.1:${ports[0]}
node=127.0.0.1:${ports[1]}
senders=()
declare -A at

for program in prometheus prometheus-node-exporter; do
    if ! command -v "$program" >/dev/null; then
        skip_all "senders" "$program is not there"
    fi
done

# configure NAME MESSAGE SCRAPE: SCRAPE is empty once the collecting is over.
configure() {
    local name=$1 message=$2 scrape=$3
    cat <<END
global:
  scrape_interval: 1s
  external_labels:
    sender: $name
remote_write:
  - url: http://$firekeep/api/v1/write
    send_exemplars: true
    send_native_histograms: true
    remote_timeout: 10s
    ${message:+protobuf_message: $message}
    queue_config: {min_backoff: 30ms, max_backoff: 500ms, batch_send_deadline: 500ms, max_shards: 4}
    metadata_config: {send_interval: 2s}
END
    [[ -z $scrape ]] || cat <<END
scrape_configs:
  - job_name: all
    static_configs:
      - targets: ['$node', '$firekeep', '${at[$name]}']
END
}

add_sender() { # NAME PROGRAM PORT [MESSAGE]
    local name=$1 program=$2 message=${4-}
    at[$name]=127.0.0.1:$3
    configure "$name" "$message" yes >"$work/$name.yml"
    configure "$name" "$message" '' >"$work/$name.quiet.yml"
    start "$name" "$program" "--config.file=$work/$name.yml" "--storage.tsdb.path=$work/$name" \
        "--web.listen-address=${at[$name]}" --web.enable-lifecycle --log.level=warn \
        --enable-feature=native-histograms,exemplar-storage
    senders+=("$name")
    wait_ready "$name" "http://${at[$name]}/-/ready"
}

agent_config() { # SCRAPE
    [[ -n $1 ]] || {
        echo 'scrape_configs: []'
        return
    }
    cat <<END
scrape_configs:
  - job_name: all
    scrape_interval: 1s
    static_configs:
      - targets: ['$node', '$firekeep']
END
}

add_agent() { # PORT
    at[agent]=127.0.0.1:$1
    agent_config yes >"$work/agent.yml"
    agent_config '' >"$work/agent.quiet.yml"
    start agent "$agent" "-promscrape.config=$work/agent.yml" "-httpListenAddr=${at[agent]}" \
        "-remoteWrite.url=http://$firekeep/api/v1/write" "-remoteWrite.tmpDataPath=$work/agent" \
        -remoteWrite.label=sender=agent -remoteWrite.flushInterval=500ms \
        -remoteWrite.retryMinInterval=100ms -remoteWrite.retryMaxTime=1s
    wait_ready agent "http://${at[agent]}/-/ready"
}

page() { # SENDER
    curl -fs --noproxy '*' --max-time 10 "http://${at[$1]}/metrics"
}

# total PATTERN < PAGE: the sum of all values of metrics whose name matches; times may be 1.7e+09.
total() {
    awk -v name="^$1([{ ]|\$)" '$0 ~ name { sum += $NF } END { printf "%.0f\n", sum }'
}

has_sent() { # SENDER
    (($(page "$1" | total prometheus_remote_storage_samples_total) > 1000))
}

# Everything that was appended has been sent: nothing waits in the queue, and the newest time sent
# is the newest appended. No scrape adds to it any more, so the next look finds the same.
has_caught_up() { # SENDER
    local text
    text=$(page "$1") || return 1
    (($(total prometheus_remote_storage_samples_pending <<<"$text") == 0)) &&
        (($(total prometheus_remote_storage_highest_timestamp_in_seconds <<<"$text") ==
            $(total prometheus_remote_storage_queue_highest_sent_timestamp_seconds <<<"$text"))) &&
        [[ $(sent_in "$text") == $(sleep 0.3 && sent_in "$(page "$1")") ]]
}

# floats histograms exemplars: the numbers sent and acknowledged, without repeats.
sent_in() { # PAGE
    local kind
    for kind in samples histograms exemplars; do
        echo -n "$(($(total "prometheus_remote_storage_${kind}_total" <<<"$1") -
            $(total "prometheus_remote_storage_${kind}_retried_total" <<<"$1"))) "
    done
    echo
}

agent_rows() { # PAGE
    total vmagent_remotewrite_rows_pushed_after_relabel_total <<<"$1"
}

agent_has_caught_up() {
    local text
    text=$(page agent) || return 1
    (($(total 'vmagent_remotewrite_pending_(data_bytes|inmemory_blocks)' <<<"$text") == 0)) &&
        [[ $(agent_rows "$text") == $(sleep 1 && agent_rows "$(page agent)") ]]
}

quiet() { # SENDER
    cp "$work/$1.quiet.yml" "$work/$1.yml"
    curl -fs --noproxy '*' -X POST "http://${at[$1]}/-/reload"
}

# Small segments and a young head, so that crashes also meet flushes and changes of segments.
begin() {
    start_firekeep firekeep "$work/data" "${firekeep#*:}" --head.max-age=4s --wal.segment-bytes=1MiB
}

crash_and_restart() {
    local until=$((SECONDS + seconds))
    while ((SECONDS < until)); do
        sleep "$((RANDOM % 4 + 1)).$((RANDOM % 10))"
        if ((RANDOM % 4 == 0)); then
            stop firekeep || {
                echo "SIGTERM ended it with status $?, SEED=$seed"
                return 1
            }
        else
            crash firekeep
        fi
        crashes=$((crashes + 1))
        begin || {
            echo "does not start after crash $crashes, SEED=$seed"
            return 1
        }
    done
}

all_caught_up() {
    local sender
    for sender in "${senders[@]}"; do
        within 60 has_caught_up "$sender" || {
            echo "$sender has not caught up"
            page "$sender" | grep -E '^prometheus_remote_storage_(samples|highest|queue)'
            tail -n 3 "$work/$sender.log"
            return 1
        }
    done
    [[ -z ${at[agent]-} ]] || within 60 agent_has_caught_up || {
        echo "vmagent has not caught up"
        page agent | grep ^vmagent_remotewrite_pending
        return 1
    }
}

agent_gave_nothing_up() {
    local given_up
    given_up=$(page agent | grep -E \
        '^vmagent_remotewrite_(packets_dropped|samples_dropped|conversion_errors|rate_limit)[a-z_]*_total.* [1-9]')
    echo "$given_up"
    [[ -z $given_up ]] && (($(agent_rows "$(page agent)") > 1000))
}

nothing_given_up() { # SENDER
    local given_up
    given_up=$(page "$1" | grep -E '^prometheus_remote_storage_[a-z]+_(failed|dropped)_total.* [1-9]')
    [[ -z $given_up ]] && return
    echo "$given_up"
    grep -m 3 -i 'non-recoverable' "$work/$1.log"
    return 1
}

# A sender appends staleness markers some scrape intervals after its targets stopped: a comparison
# may run before they are sent. Lost samples stay lost.
reads_the_same() { # SENDER
    local output
    output=$("$TOOLS/rrcompare" "http://${at[$1]}" "http://$firekeep" \
        --start "$start_ms" --end "$(now_ms)" --match "{sender=\"$1\"}" --ignore-bounds)
    local status=$?
    echo "$output"
    ((status == 0)) && ! grep -q '^A: 0 series' <<<"$output"
}

has_histograms() { # SENDER
    (($(page "$1" | total prometheus_remote_storage_histograms_total) > 0))
}

# kept KIND: in parts or in the log.
kept() {
    curl -fs --noproxy '*' "http://$firekeep/metrics" | grep "kind=\"$1\"" |
        total 'firekeep_samples_(stored|pending)'
}

counts_agree() {
    local sender floats=0 histograms=0 exemplars=0 f h e
    for sender in "${senders[@]}"; do
        read -r f h e < <(sent_in "$(page "$sender")")
        echo "$sender sent $f floats, $h histograms, $e exemplars"
        floats=$((floats + f)) histograms=$((histograms + h)) exemplars=$((exemplars + e))
    done
    if [[ -n ${at[agent]-} ]]; then
        f=$(agent_rows "$(page agent)")
        echo "vmagent sent $f floats"
        floats=$((floats + f))
    fi
    echo "kept: $(kept float) floats, $(kept histogram) histograms, $(kept exemplar) exemplars"
    (($(kept float) == floats && $(kept histogram) == histograms && $(kept exemplar) == exemplars))
}

# received = stored + pending + duplicate + superseded + rejected + expired + deleted + damaged
ledger_adds_up() {
    local text kind left right
    text=$(curl -fs --noproxy '*' "http://$firekeep/metrics")
    for kind in float histogram exemplar; do
        left=$(grep "kind=\"$kind\"" <<<"$text" | total firekeep_samples_received_total)
        right=$(grep "kind=\"$kind\"" <<<"$text" |
            total 'firekeep_samples_(stored|pending|(duplicate|superseded|rejected|expired|deleted|damaged)_total)')
        echo "$kind: received $left, accounted for $right"
        ((left == right)) || return 1
    done
}

nothing_refused() {
    local text
    text=$(curl -fs --noproxy '*' "http://$firekeep/metrics")
    grep -E '^firekeep_samples_(rejected|superseded|damaged)_total.* [1-9]' <<<"$text" && return 1
    return 0
}

start_all() {
    begin || return 1
    start node prometheus-node-exporter "--web.listen-address=$node"
    wait_ready node "http://$node/metrics" || return 1
    add_sender old prometheus "${ports[2]}" || return 1
    if [[ -x $newer ]]; then
        add_sender new-1 "$newer" "${ports[3]}" prometheus.WriteRequest || return 1
        add_sender new-2 "$newer" "${ports[4]}" io.prometheus.write.v2.Request || return 1
    fi
    if [[ -x $agent ]]; then
        add_agent "${ports[5]}" || return 1
    fi
    # Samples appended before the first request are not sent at all: the range begins after that.
    local sender
    for sender in "${senders[@]}"; do
        within 30 has_sent "$sender" || {
            echo "$sender sends nothing"
            tail -n 3 "$work/$sender.log"
            return 1
        }
    done
}

crashes=0
[[ -x $newer ]] || skip "senders of Prometheus 3" "it is not there"
[[ -x $agent ]] || skip "vmagent as a sender" "it is not there"
claim "senders and Firekeep start" start_all || exit 1
start_ms=$(now_ms)
claim "Firekeep comes back from every crash" crash_and_restart || exit 1
for sender in "${senders[@]}"; do
    quiet "$sender"
done
[[ -z ${at[agent]-} ]] || quiet agent
claim "the senders catch up" all_caught_up
[[ -z ${at[agent]-} ]] || claim "vmagent gave nothing up" agent_gave_nothing_up
for sender in "${senders[@]}"; do
    claim "$sender: gave nothing up" nothing_given_up "$sender"
    claim "$sender: has in its own storage what Firekeep has, bit for bit" within 20 reads_the_same "$sender"
    [[ $sender == old ]] || claim "$sender: sent native histograms" has_histograms "$sender"
done
claim "as much is kept as was sent" within 20 counts_agree
claim "nothing was refused" nothing_refused
claim "the ledger adds up" ledger_adds_up
claim "SIGTERM ends it with status 0" stop firekeep
claim "verify finds nothing wrong" build/firekeep verify "$work/data"
echo "$crashes crashes and stops in $seconds s, SEED=$seed"
done_testing
