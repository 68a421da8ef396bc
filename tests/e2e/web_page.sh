#!/bin/bash
# web_page.sh - the web page in a real browser: web/test/*.mjs with Chromium, and two servers, one of them with users; and that web/dist is what
# web/ makes.

. tests/lib.sh
for tool in node npm chromium; do
    command -v "$tool" >/dev/null || skip_all "the web page" "no $tool"
done
read -r port users_port full_port small_port dead_port < <(free_ports 5 | tr '\n' ' ')
url=http://127.0.0.1:$port
users_url=http://127.0.0.1:$users_port
full=http://127.0.0.1:$full_port

# --- what is committed is what is built --------------------------------------------------------------

copy_sources() {
    mkdir -p "$work/web" "$work/docs" && cp docs/*.dashboard.json "$work/docs" &&
        cp -r web/src web/test web/*.json web/*.mjs "$work/web" &&
        npm ci --prefix "$work/web" --ignore-scripts --no-audit --no-fund >"$work/npm.log" 2>&1
}

is_rebuilt() {
    (cd "$work/web" && node build.mjs) >"$work/build.log" 2>&1 && diff -rq web/dist "$work/web/dist"
}

has_sound_types() {
    (cd "$work/web" && npx --no-install tsc --noEmit)
}

# Says whether the files together have at most so many bytes, compressed.
is_at_most() { # BYTES FILE...
    local most=$1 size=0 file
    shift
    for file; do
        size=$((size + $(gzip -9nc "$file" | wc -c)))
    done
    ((size <= most)) || {
        echo "$size bytes"
        false
    }
}

copy_sources || skip_all "the web page" "npm cannot fetch its packages: $(tail -n 1 "$work/npm.log")"
claim "web/dist is what web/src builds" is_rebuilt
claim "the types of web/src are sound" has_sound_types
mapfile -t first_load < <(grep -o 'assets/[^"]*' web/dist/index.html | sed 's,^,web/dist/,')
claim "the first load has at most 80 KiB" is_at_most 81920 web/dist/index.html "${first_load[@]}"
claim "the whole page has at most 320 KiB" is_at_most 327680 web/dist/index.html web/dist/assets/*-*

# --- in a browser ------------------------------------------------------------------------------------

write_samples() {
    local now at
    now=$(date +%s)
    echo '# TYPE requests_total counter'
    echo '# HELP requests_total Requests <b>answered</b>.'
    for path in /a /b '/<img src=x onerror=alert(1)>'; do
        for ((at = now - 3600; at <= now; at += 15)); do
            echo "requests_total{path=\"$path\",job=\"web\"} $(((at - now + 3600) * ${#path})) ${at}000"
        done
    done
    # They go on while the test runs, so that rates are those of whole windows.
    for ((at = now - 600; at <= now + 480; at += 20)); do
        echo "node_uname_info{job=\"node\",instance=\"one\"} 1 ${at}000"
        echo "node_cpu_seconds_total{job=\"node\",instance=\"one\",mode=\"idle\"} $(((at - now + 600) / 4)) ${at}000"
        echo "node_cpu_seconds_total{job=\"node\",instance=\"one\",mode=\"user\"} $(((at - now + 600) * 3 / 4)) ${at}000"
    done
    for ((at = 1; at <= 2000; at++)); do
        echo "many{n=\"$at\"} $at ${now}000"
    done
}

# Prints native histograms, exemplars, and a series that ends with a staleness marker.
write_more_samples() {
    local now at i=0 spans='"schema":0,"zero_threshold":0,"zero_count_int":0,"positive_spans":[{"offset":-3,"length":6}]'
    now=$(date +%s)
    for ((at = now - 3600; at <= now; at += 15)); do
        i=$((i + 1))
        echo "{\"name\":\"latency_seconds\",\"time\":${at}000,\"value\":null,\"histogram\":{\"count_int\":$((11 * i)),\"sum\":$((4 * i)),$spans,\"positive_deltas\":[$i,$i,$i,-$i,0,-$i],\"reset_hint\":2},\"labels\":{\"__name__\":\"latency_seconds\",\"job\":\"web\"}}"
        echo "{\"name\":\"temperature\",\"time\":${at}500,\"value\":$((20 + i % 7)),\"exemplars\":[{\"labels\":{\"trace_id\":\"trace$i\"},\"value\":$((20 + i % 5)),\"time\":${at}500}],\"labels\":{\"__name__\":\"temperature\",\"room\":\"a\"}}"
    done
    echo "{\"name\":\"temperature\",\"time\":${now}900,\"value\":null,\"bits\":\"7ff0000000000002\",\"labels\":{\"__name__\":\"temperature\",\"room\":\"a\"}}"
    echo "{\"name\":\"limit_total\",\"time\":${now}000,\"value\":9,\"labels\":{\"__name__\":\"limit_total\",\"path\":\"/a\",\"job\":\"web\"}}"
}

write_rules() {
    cat <<'END'
groups:
- name: first
  interval: 1s
  rules:
  - {record: "job:requests:rate5m", expr: 'sum by (job) (rate(requests_total[5m]))'}
  - {alert: Always, expr: 'vector(1)', labels: {severity: page}, annotations: {summary: '<script>alert(1)</script>', runbook: 'https://runbooks.example.com/always', other: 'javascript:alert(1)'}}
END
}

write_samples >"$work/samples.txt"
write_more_samples >"$work/more.ndjson"
write_rules >"$work/rules.yml"
printf 'rule_files: [rules.yml]\n' >"$work/firekeep.yml"
imports_samples() {
    start_firekeep server "$work/data" "$port" --config.file="$work/firekeep.yml" --web.enable-admin-api \
        --self-scrape.interval=1s --query.lookback-delta=1h &&
        build/firekeep import --url="$url" --format=prometheus "$work/samples.txt" &&
        build/firekeep import --url="$url" "$work/more.ndjson"
}
claim "a server has samples and rules" imports_samples || exit 1

# The users that web/test/session.mjs names; the token is "abc".
write_users() { # HASH of ann
    cat <<END
tenancy: {enabled: true}
users:
- {name: ann, password: '$1', permissions: [read], tenants: [shop, lab]}
- {name: bob, password: '$hidden', permissions: [read], tenants: [shop]}
- {name: eve, password: '$hidden', permissions: [read], tenants: [shop], read_matchers: ['{team="open"}']}
- {name: ops, password: '$hidden', permissions: [write, read, rules, admin, metrics],
   tokens: [ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad]}
END
}
hash_of() { # PASSWORD
    printf '%s\n' "$1" | build/firekeep hash --kind=bcrypt
}
hidden=$(hash_of hidden)
write_users "$hidden" >"$work/users.yml"
write_users "$(hash_of changed)" >"$work/changed.yml"
takes_samples_of_tenants() {
    local tenant
    # The samples have values as long as the test may run.
    start_firekeep users "$work/users" "$users_port" --config.file="$work/users.yml" --web.enable-admin-api \
        --web.enable-lifecycle --query.lookback-delta=1h || return 1
    for tenant in shop lab; do
        printf '%s 1 %s\n' "${tenant}_metric" "$(now_ms)" 'open_total{team="open"}' "$(now_ms)" \
            'hidden_total{team="hidden",place="secret"}' "$(now_ms)" | "$TOOLS/rwmake" >"$work/$tenant.rw" &&
            "$TOOLS/rwreplay" "$work/$tenant.rw" "$users_url/api/v1/write" --check --header "X-Scope-OrgID: $tenant" --header 'Authorization: Bearer abc' || return 1
    done
}
claim "a server with users has samples of two tenants" takes_samples_of_tenants || exit 1

# A server with destinations: one that works, one that refuses most series, one that is away; and a rule
# that fails.
write_full() {
    cat <<END
self_scrape: {interval: 1s}
web: {enable_admin_api: true}
rule_files: [full_rules.yml]
alerting: {alertmanagers: [{static_configs: [{targets: ['127.0.0.1:$dead_port']}]}]}
destinations:
- name: files
  type: file
  path: $work/out/
  select: ['firekeep_head_series']
  relabel: [{action: labeldrop, regex: job}, {source_labels: [instance], target_label: where}]
- {name: limited, type: remote_write, url: 'http://127.0.0.1:$small_port/api/v1/write', external_labels: {site: one}}
- {name: away, type: remote_write, url: 'http://127.0.0.1:$dead_port/api/v1/write'}
sources:
- {name: peer, type: remote_read, url: '$url/api/v1/read', select: [temperature]}
- {name: gone, type: remote_read, url: 'http://127.0.0.1:$dead_port/api/v1/read', select: [nowhere]}
END
}

write_full_rules() {
    cat <<'END'
groups:
- {name: works, interval: 1s, rules: [{record: "sum:series", expr: sum(firekeep_head_series)}, {alert: Always, expr: vector(1)}]}
- {name: fails, interval: 1s, rules: [{record: "twice", expr: 'firekeep_memory_bytes * on (job) group_left firekeep_memory_bytes'}]}
END
}

mkdir "$work/out"
write_full >"$work/full.yml"
write_full_rules >"$work/full_rules.yml"
has_dead_letters() {
    curl -fs --noproxy '*' --max-time 10 "$full/api/v1/admin/dead_letters/limited" | grep -q http_400
}
# The other server of the page has windows of a level.
levelled() {
    local now at
    now=$(date +%s)
    for ((at = now - 259200; at <= now - 86400; at += 60)); do
        echo "levelled{job=\"old\"} $((at % 7)) ${at}000"
    done
}
downsamples() {
    local base=http://127.0.0.1:$small_port
    levelled >"$work/levelled.txt"
    echo 'downsampling: [{match: "{}", after: 1h, resolution: 1h}]' >"$work/small.yml"
    start_firekeep levels "$work/small" "$small_port" --config.file="$work/small.yml" --web.enable-admin-api \
        --self-scrape.interval=0s &&
        build/firekeep import --url="$base" --format=prometheus "$work/levelled.txt" &&
        curl -fsS --noproxy '*' --max-time 20 -X POST "$base/api/v1/admin/tsdb/flush" &&
        curl -fsS --noproxy '*' --max-time 20 -X POST "$base/api/v1/admin/tsdb/merge?full=true" && stop levels
}
claim "a server downsamples" downsamples || exit 1
serves_destinations() {
    start_firekeep small "$work/small" "$small_port" --config.file="$work/small.yml" --write.max-series-per-metric=1 &&
        start_firekeep full "$work/full" "$full_port" --config.file="$work/full.yml" && within 60 has_dead_letters
}
claim "a server has destinations" serves_destinations || exit 1
# Prints a claim for each test.
(cd "$work/web" && CHROMIUM=$(command -v chromium) URL=$url FULL=$full SMALL=http://127.0.0.1:$small_port USERS_URL=$users_url USERS_FILE=$work/users.yml \
    OTHER_FILE=$work/changed.yml USERS_PID=${pids[$(_index_of users)]} OUT=$work timeout 840 node test/page.mjs) || failures=1
done_testing
