#!/bin/bash
# grafana.sh - requests of Grafana's Prometheus data source and of promtool get the answers of a
# real Prometheus 3 with the same samples; and the data source of docs/grafana.md: below a path, and
# with tenants. federate.sh has a Prometheus that federates.

. tests/lib.sh
read -r port peer_port < <(free_ports 2 | tr '\n' ' ')
url=http://127.0.0.1:$port
peer_url=http://127.0.0.1:$peer_port
program=$PEERS/prometheus/usr/bin/prometheus
promtool=$PEERS/promtool/usr/bin/promtool
first=1795156121 last=1795157431 # range of the captures

# The captures are of another day: a Prometheus must accept them as out of order, and keep them long
# enough.
begin_peer() {
    echo 'storage: {tsdb: {out_of_order_time_window: 3650d}}' >"$work/prometheus.yml"
    start peer "$program" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/peer" \
        --storage.tsdb.retention.time=20y --web.listen-address="127.0.0.1:$peer_port" --log.level=warn \
        --web.enable-remote-write-receiver --enable-feature=native-histograms,exemplar-storage
    wait_ready peer "$peer_url/-/ready"
}

takes() { # URL
    local capture
    for capture in node15s v2hist; do
        "$TOOLS/rwreplay" "$SAMPLES/$capture.rw" "$1/api/v1/write" >"$work/replay.txt" 2>&1 || {
            tail -n 3 "$work/replay.txt"
            return 1
        }
    done
}

# --- promtool ------------------------------------------------------------------------------------

# Only the series of a matrix come in an order.
in_any_order() {
    if [[ $1 == range ]]; then cat; else sort; fi
}

is_told_the_same() { # ARGUMENT... ; URL is where the server's goes
    local server
    for server in "$url" "$peer_url"; do
        "$promtool" query "${@//URL/$server}" 2>&1 | in_any_order "$1" >"$work/told-${server##*:}"
        echo "status ${PIPESTATUS[0]}" >>"$work/told-${server##*:}"
    done
    head -n 2 "$work/told-$port"
    [[ -s $work/told-$port ]] && diff "$work/told-$port" "$work/told-$peer_port"
}

has_lines() { # NUMBER ARGUMENT...
    is_told_the_same "${@:2}" && (($(wc -l <"$work/told-$port") > $1))
}

asks_promtool() {
    local at=--time=1795157000 over=(--start=1795156500 --end=1795157000) kind
    claim "promtool query instant: floats" has_lines 7 instant $at URL up
    claim "promtool query instant: histograms" has_lines 2 instant $at URL '{job="nhcb"}'
    claim "promtool query instant: a rate" has_lines 20 instant $at URL 'rate(node_cpu_seconds_total[1m0s])'
    claim "promtool query instant: JSON" has_lines 1 instant -o json $at URL 'sum(up)'
    claim "promtool query instant: a scalar" has_lines 1 instant $at URL '1+1'
    claim "promtool query instant: raw samples" has_lines 20 instant $at URL 'node_load1[2m]'
    claim "promtool query instant: a wrong expression" has_lines 1 instant $at URL 'sum('
    claim "promtool query range: floats" has_lines 20 range "${over[@]}" --step=1m URL node_load1
    claim "promtool query range: histograms" has_lines 5 range "${over[@]}" --step=1m URL '{job="nhcb"}'
    claim "promtool query range: a wrong range" has_lines 1 range --start=1795157000 --end=1795156000 URL up
    claim "promtool query series" has_lines 5 series --match=up --match='{__name__=~"node_load.*"}' "${over[@]}" URL
    claim "promtool query series: a wrong selector" has_lines 1 series --match='up{' URL
    claim "promtool query labels" has_lines 5 labels "${over[@]}" URL job
    claim "promtool query labels: of selected series" has_lines 1 labels --match=up "${over[@]}" URL __name__
    for kind in '{job="nhcb"}' 'shop_request_seconds' 'prometheus_http_request_duration_seconds' \
        'prometheus_http_request_duration_seconds_bucket'; do
        claim "promtool query analyze: $kind" has_lines 13 analyze --server=URL --type=histogram \
            --match="$kind" --duration=10m $at
    done
}

# --- the data source -----------------------------------------------------------------------------

begin_below_path() {
    start firekeep build/firekeep serve --storage.path="$work/data" --web.listen-address="127.0.0.1:$port" \
        --web.external-url=https://example.com/firekeep
    wait_ready firekeep "$url/firekeep/-/ready"
}

begin_with_tenants() {
    start_firekeep firekeep "$work/tenants" "$port" --tenancy.enabled --web.cors-origin='https://a\.example'
}

ask() { # CURL-ARGUMENT...
    curl -sg --noproxy '*' "$@"
}

# Each tenant has one series, named alike.
takes_of_tenants() {
    local tenant
    for tenant in a b; do
        echo "up{job=\"$tenant\"} 1 $(now_ms)" | "$TOOLS/rwmake" >"$work/$tenant.rw"
        "$TOOLS/rwreplay" "$work/$tenant.rw" "$url/api/v1/write" --header "X-Scope-OrgID: $tenant" || return 1
    done
}

# In the form of Grafana: a header of the data source, and a form.
jobs_of() { # TENANTS
    ask -H "X-Scope-OrgID: $1" -d 'query=sort(up)' "$url/api/v1/query" | jq -c '[.data.result[].metric | .__tenant_id__, .job]'
}

reads_tenants() {
    local got
    got="$(jobs_of a) $(jobs_of 'a|b') $(ask -o "$work/none" -w '%{http_code}' -d query=up "$url/api/v1/query")"
    echo "$got"
    [[ $got == '[null,"a"] ["a","a","b","b"] 401' ]]
}

# Checks the request that a page of that origin sends before the header, and what it may read then.
lets_pages_read() {
    ask -X OPTIONS -D - -H 'Origin: https://a.example' "$url/api/v1/query" >"$work/header"
    cat "$work/header"
    grep -qi '^Access-Control-Allow-Origin: https://a.example' "$work/header" &&
        grep -qi '^Access-Control-Allow-Headers:.*X-Scope-OrgID' "$work/header" &&
        ! ask -X OPTIONS -D - -H 'Origin: https://b.example' "$url/api/v1/query" | grep -qi '^Access-Control-Allow-Origin'
}

if [[ -z $SAMPLES || ! -f $SAMPLES/node15s.rw ]]; then
    skip "Grafana is answered as Prometheus 3 answers it" "no captures beside the project"
elif [[ ! -x $program ]]; then
    skip "Grafana is answered as Prometheus 3 answers it" "tests/peers/fetch gets it"
else
    claim "starts" start_firekeep firekeep "$work/data" "$port"
    claim "a Prometheus 3 starts" begin_peer
    claim "it takes the captures" takes "$url"
    claim "so does Prometheus" takes "$peer_url"
    if [[ ! -x $promtool ]]; then
        skip "promtool is told what Prometheus tells it" "tests/peers/fetch gets it"
    else
        asks_promtool
    fi
    claim "Grafana is answered as Prometheus 3 answers it" \
        tests/api/compare_grafana.py "$url" "$peer_url" $first $last
    claim "SIGTERM ends it with status 0" stop firekeep
    claim "starts below a path" begin_below_path
    claim "Grafana is answered there" tests/api/compare_grafana.py "$url/firekeep" "$peer_url" $first $last
    claim "SIGTERM ends it with status 0" stop firekeep
fi
claim "starts with tenants" begin_with_tenants
claim "each has samples" takes_of_tenants
claim "a data source reads the tenants of its header" reads_tenants
claim "pages of the chosen origin may send the header and read" lets_pages_read
claim "SIGTERM ends it with status 0" stop firekeep
done_testing
