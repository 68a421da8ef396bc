#!/bin/bash
# demo.sh - called by `./run demo`, which has built and installed what this needs.
#
#   node exporter <-- Prometheus A --remote write--> Firekeep <--remote read-- Prometheus B
#
# A scrapes Firekeep, too. The dashboards of Firekeep's web page show both.
#
# A keeps its own copy, B has none: after a while both are asked for the same range and must return
# the same series, times and bits. Everything is below build/demo and ends with this script.

set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$root/build/demo
seconds=${DEMO_SECONDS:-75}
TOOLS=$root/build/release/tools
sleeper=
# shellcheck source=tests/lib.sh
. "$root/tests/lib.sh"

die() {
    printf './run demo: %s\n' "$*" >&2
    exit 1
}

stop_demo() {
    [[ -z $sleeper ]] || kill "$sleeper" 2>/dev/null
    stop_all
}
trap stop_demo EXIT
trap 'echo; echo "stopping"; exit 130' INT

# pause SECONDS: a signal is answered at once, not when the time is over.
pause() {
    setpriv --pdeathsig TERM sleep "$1" &
    sleeper=$!
    wait "$sleeper"
    sleeper=
}

need_ready() { # NAME URL
    wait_ready "$1" "$2" && return
    tail -n 5 "$work/$1.log" >&2
    die "$1 does not get ready (its log: $work/$1.log)."
}

[[ $seconds =~ ^[0-9]+$ ]] || die "DEMO_SECONDS must be a number, not '$seconds'."
rm -rf "$work"
mkdir -p "$work" || die "cannot write to $work."
mapfile -t ports < <(free_ports 4)
node=127.0.0.1:${ports[0]}
firekeep=127.0.0.1:${ports[1]}
writer=127.0.0.1:${ports[2]}
reader=127.0.0.1:${ports[3]}

cat >"$work/writer.yml" <<END
global:
  scrape_interval: 5s
scrape_configs:
  - job_name: node
    static_configs:
      - targets: ['$node']
  - job_name: firekeep
    static_configs:
      - targets: ['$firekeep']
remote_write:
  - url: http://$firekeep/api/v1/write
END
cat >"$work/reader.yml" <<END
remote_read:
  - url: http://$firekeep/api/v1/read
    read_recent: true
END

start firekeep "$root/build/firekeep" serve "--storage.path=$work/firekeep" \
    "--web.listen-address=$firekeep"
need_ready firekeep "http://$firekeep/-/ready"
start node-exporter prometheus-node-exporter "--web.listen-address=$node"
need_ready node-exporter "http://$node/metrics"
start writer prometheus "--config.file=$work/writer.yml" "--storage.tsdb.path=$work/writer" \
    "--web.listen-address=$writer" --log.level=warn
start reader prometheus "--config.file=$work/reader.yml" "--storage.tsdb.path=$work/reader" \
    "--web.listen-address=$reader" --log.level=warn
need_ready writer "http://$writer/-/ready"
need_ready reader "http://$reader/-/ready"
start_ms=$(now_ms)
page="http://$firekeep/dashboards?dashboard=node&range_input=5m&refresh=5s"

cat <<END
node exporter              http://$node/metrics
Firekeep, with a web page  $page
A: scrapes and writes      http://$writer
B: empty, reads Firekeep   http://$reader/graph?g0.expr=node_load1&g0.tab=0&g0.range_input=5m
collecting for $seconds s ...
END
pause "$seconds"
end_ms=$(now_ms)

# The range is closed; its samples reach Firekeep within the sender's 5 s deadline.
echo "comparing A and B over what was scraped until now, once it has been sent (15 s)"
pause 15
"$TOOLS/rrcompare" "http://$writer" "http://$reader" \
    --start "$start_ms" --end "$end_ms" | tee "$work/compare.txt"
status=${PIPESTATUS[0]}
counts=$(sed -n 's/^A: \([0-9]* series, [0-9]* samples\).*/\1/p' "$work/compare.txt")
if ((status == 0)) && [[ $counts == '0 '* ]]; then
    echo "A and B agree, but nothing was collected."
    status=1
elif ((status == 0)); then
    echo "B reads from Firekeep exactly what A keeps itself: $counts."
elif ((status == 1)); then
    echo "A and B differ."
else
    echo "A and B could not be compared."
fi
echo "Firekeep's directory: $(du -sh "$work/firekeep" | cut -f 1)"
if [[ ${DEMO_EXIT-} == 1 ]]; then
    exit "$status"
fi
echo "still running, Ctrl-C stops everything; dashboards that are renewed every 5 s:"
echo "$page"
while :; do
    pause 3600
done
