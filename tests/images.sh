#!/bin/bash
# images.sh - called by `make images`: makes the pictures of docs/images with Chromium. The samples are
# those of captures, repeated over hours and days (tools/repeat_capture.py), so that graphs have something
# to show; the servers are real ones, with rules and destinations. Look at the pictures afterwards.
#
#   SAMPLES=DIR     the captures node15s.rw and v2hist.rw
#   ONLY=REGEX      only the pictures whose names match
#   OUT=DIR         docs/images
#
# Needs build/firekeep, the tools for tests (make test-tools), chromium, node, and npm ci
# --ignore-scripts in web/.

set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
export BUILD=${BUILD:-build/release} TOOLS=${TOOLS:-build/release/tools}
SAMPLES=${SAMPLES:-$(dirname "$(compgen -G '../*/data/node15s.rw' | head -n 1)")}
CHROMIUM=${CHROMIUM:-$(command -v chromium)}
OUT=${OUT:-docs/images}
work=$(mktemp -d build/images.XXXXXX) || exit 1
# shellcheck source=tests/lib.sh
. tests/lib.sh
trap 'stop_all; rm -rf "$work"' EXIT

die() {
    echo "tests/images.sh: $*" >&2
    exit 1
}
[[ -n $CHROMIUM && -d web/node_modules/puppeteer-core && -f $SAMPLES/v2hist.rw ]] ||
    die "needs chromium, npm ci --ignore-scripts in web/, and SAMPLES with the captures"

chosen=(
    --match='{job="shop"}' --match='{job="nhcb",__name__=~"shop_.*"}' --match=up
    --match='{job="prometheus",__name__=~"prometheus_(http_requests|tsdb_head_samples_appended)_total"}'
    --match="{job=\"node\",__name__=~\"$(grep -o 'node_[a-zA-Z_]*' docs/node_exporter.dashboard.json | sort -u | paste -s -d '|')|node_load.*\"}"
)

write_rules() {
    cat <<'END'
groups:
- name: shop
  interval: 15s
  rules:
  - {record: "page:shop_requests:rate5m", expr: 'sum by (page) (rate(shop_request_seconds_count[5m]))'}
  - record: "page:shop_request_seconds:p99"
    expr: 'histogram_quantile(0.99, sum by (page) (rate(shop_request_seconds{job="nhcb"}[5m])))'
- name: hosts
  interval: 15s
  rules:
  - {record: "instance:node_cpu:used", expr: '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m]))'}
- name: alerts
  interval: 15s
  rules:
  - alert: StockLow
    expr: 'shop_stock < 20'
    labels: {severity: ticket, team: shop}
    annotations: {summary: 'Only {{ $value }} of {{ $labels.item }} are left', runbook_url: 'https://runbooks.example.com/stock'}
  - alert: MemoryInUse
    expr: '1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes > 0.02'
    for: 10m
    labels: {severity: page, team: hosts}
    annotations: {summary: '{{ $labels.instance }} uses {{ $value | humanizePercentage }} of its memory'}
  - alert: RequestsSlow
    expr: 'page:shop_request_seconds:p99 > 5'
    for: 5m
    labels: {severity: page, team: shop}
    annotations: {summary: 'The page {{ $labels.page }} is slow'}
END
}

write_config() { # PORT of the second server
    cat <<END
self_scrape: {interval: 5s}
web: {enable_admin_api: true}
rule_files: [rules.yml]
destinations:
- {name: archive, type: file, path: $work/archive}
- name: second-site
  type: remote_write
  url: http://127.0.0.1:$1/api/v1/write
  external_labels: {site: north}
  relabel: [{action: labeldrop, regex: replica}]
- name: shop-only
  type: remote_write
  url: http://127.0.0.1:$2/api/v1/write
  select: ['{job="shop"}', '{job="nhcb"}']
END
}

read -r capture_port port second_port closed_port < <(free_ports 4 | tr '\n' ' ')
capture=http://127.0.0.1:$capture_port url=http://127.0.0.1:$port
start_firekeep capture "$work/capture" "$capture_port" --retention.time=30y --wal.ack=memory &&
    "$TOOLS/rwreplay" "$SAMPLES/node15s.rw" "$capture/api/v1/write" >"$work/replay.log" &&
    "$TOOLS/rwreplay" "$SAMPLES/v2hist.rw" "$capture/api/v1/write" >>"$work/replay.log" ||
    die "the captures cannot be replayed: $(tail -n 1 "$work/replay.log")"
build/firekeep export --url="$capture" --format=ndjson "${chosen[@]}" -o "$work/capture.ndjson" 2>"$work/export.log" ||
    die "$(cat "$work/export.log")"
# The captures lack what tells names of machines; the dashboard finds hosts by this metric.
grep '"name":"up".*"job":"node"' "$work/capture.ndjson" | sed 's/"up"/"node_uname_info"/g' >"$work/names.ndjson"

mkdir "$work/archive"
write_rules >"$work/rules.yml"
write_config "$second_port" "$closed_port" >"$work/firekeep.yml"
grep '"job":"shop"' "$work/capture.ndjson" | tests/tools/repeat_capture.py 216 120 4.5 >"$work/hours.ndjson" &&
    cat "$work/capture.ndjson" "$work/names.ndjson" | tests/tools/repeat_capture.py 4.5 15 0 >>"$work/hours.ndjson" || exit 1
start_firekeep second "$work/second" "$second_port" --write.max-future=1h &&
    start_firekeep server "$work/data" "$port" --config.file="$work/firekeep.yml" --write.max-future=1h ||
    die "a server does not start"
build/firekeep import --url="$url" --format=ndjson "$work/hours.ndjson" >"$work/import.log" 2>&1 || die "$(tail -n 3 "$work/import.log")"
curl -fs --noproxy '*' -X POST "$url/api/v1/admin/tsdb/flush" >/dev/null || die "the samples are not flushed"
curl -fs --noproxy '*' -X POST "$url/api/v1/admin/tsdb/merge?full=true" >/dev/null || die "the parts are not merged"
mkdir -p "$OUT"
URL=$url CHROMIUM=$CHROMIUM OUT=$OUT ONLY=${ONLY-} node web/test/images.mjs || exit 1
size=$(cat "$OUT"/*.png | wc -c)
echo "$(find "$OUT" -name '*.png' | wc -l) pictures, $((size / 1024)) KiB"
((size <= 2 << 20)) || die "the pictures have more than 2 MiB together"
