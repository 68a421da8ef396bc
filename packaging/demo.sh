#!/bin/bash
# demo.sh - called by `./run demo`, which has built and installed what this needs.
#
#   node exporter <-- Prometheus A --remote write--> Firekeep <--remote read-- Prometheus B
#
# A keeps its own copy, B has none: after a while both are asked for the same range and must give
# the same series, times and bits. Everything lives below build/demo and dies with this script.

set -u
program="./run demo"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=setup.sh
. "$root/packaging/setup.sh"

dir=$root/build/demo
seconds=${DEMO_SECONDS:-75}
names=()
pids=()
sleeper=

# The last started stops first: Firekeep is there until Prometheus has delivered what it holds.
stop_all() {
    local i tries
    trap '' INT TERM HUP
    [[ -z $sleeper ]] || kill "$sleeper" 2>/dev/null
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill -TERM -- "-${pids[i]}" 2>/dev/null || continue
        for ((tries = 0; tries < 350; tries++)); do
            kill -0 -- "-${pids[i]}" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL -- "-${pids[i]}" 2>/dev/null && echo "${names[i]} had to be killed"
    done
    wait 2>/dev/null
}
trap stop_all EXIT
trap 'echo; echo "stopping"; exit 130' INT
trap 'exit 143' TERM HUP

# pause SECONDS: a signal is answered at once, not when the time is over.
pause() {
    setpriv --pdeathsig TERM sleep "$1" &
    sleeper=$!
    wait "$sleeper"
    sleeper=
}

# start NAME COMMAND...: in the background, output to build/demo/NAME.log. Each leads a session of
# its own, so that Ctrl-C reaches only this script; should that be killed, the kernel ends them.
start() {
    local name=$1
    shift
    setsid setpriv --pdeathsig TERM "$@" >"$dir/$name.log" 2>&1 </dev/null &
    names+=("$name")
    pids+=($!)
    disown
}

# Prints COUNT different ports of 127.0.0.1 on which nobody answers.
free_ports() {
    local count=$1 port seen=' '
    while ((count > 0)); do
        port=$((20000 + RANDOM % 10000))
        [[ $seen == *" $port "* ]] && continue
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
        seen+="$port "
        echo "$port"
        count=$((count - 1))
    done
}

# wait_ready NAME URL: until it answers 2xx; ends the demo if its process ended or 60 s passed.
wait_ready() {
    local name=$1 url=$2 i tries
    for ((tries = 0; tries < 300; tries++)); do
        curl -fs -o /dev/null --max-time 2 "$url" && return 0
        for i in "${!names[@]}"; do
            [[ ${names[i]} != "$name" ]] || kill -0 "${pids[i]}" 2>/dev/null || {
                tail -n 5 "$dir/$name.log" >&2
                die "$name ended before it was ready (log: $dir/$name.log)."
            }
        done
        sleep 0.2
    done
    die "$name is not ready after a minute (log: $dir/$name.log)."
}

now_ms() {
    date +%s%3N
}

[[ $seconds =~ ^[0-9]+$ ]] || die "DEMO_SECONDS must be a number, not '$seconds'."
rm -rf "$dir"
mkdir -p "$dir" || die "cannot write to $dir."
mapfile -t ports < <(free_ports 4)
node=127.0.0.1:${ports[0]}
firekeep=127.0.0.1:${ports[1]}
writer=127.0.0.1:${ports[2]}
reader=127.0.0.1:${ports[3]}

cat >"$dir/writer.yml" <<END
global:
  scrape_interval: 5s
scrape_configs:
  - job_name: node
    static_configs:
      - targets: ['$node']
remote_write:
  - url: http://$firekeep/api/v1/write
END
cat >"$dir/reader.yml" <<END
remote_read:
  - url: http://$firekeep/api/v1/read
    read_recent: true
END

start firekeep "$root/build/firekeep" serve "--storage.path=$dir/firekeep" \
    "--web.listen-address=$firekeep"
wait_ready firekeep "http://$firekeep/-/ready"
start node-exporter prometheus-node-exporter "--web.listen-address=$node"
wait_ready node-exporter "http://$node/metrics"
start writer prometheus "--config.file=$dir/writer.yml" "--storage.tsdb.path=$dir/writer" \
    "--web.listen-address=$writer" --log.level=warn
start reader prometheus "--config.file=$dir/reader.yml" "--storage.tsdb.path=$dir/reader" \
    "--web.listen-address=$reader" --log.level=warn
wait_ready writer "http://$writer/-/ready"
wait_ready reader "http://$reader/-/ready"
start_ms=$(now_ms)

cat <<END
node exporter             http://$node/metrics
Firekeep                  http://$firekeep
A: scrapes and writes     http://$writer
B: empty, reads Firekeep  http://$reader/graph?g0.expr=node_load1&g0.tab=0&g0.range_input=5m
collecting for $seconds s ...
END
pause "$seconds"
end_ms=$(now_ms)

# The range is closed; what was scraped in it reaches Firekeep within the sender's 5 s deadline.
echo "comparing A and B over what was scraped until now, once it has been sent (15 s)"
pause 15
"$root/build/release/tools/rrcompare" "http://$writer" "http://$reader" \
    --start "$start_ms" --end "$end_ms" | tee "$dir/compare.txt"
status=${PIPESTATUS[0]}
counts=$(sed -n 's/^A: \([0-9]* series, [0-9]* samples\).*/\1/p' "$dir/compare.txt")
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
echo "Firekeep's directory: $(du -sh "$dir/firekeep" | cut -f 1)"
if [[ ${DEMO_EXIT-} == 1 ]]; then
    exit "$status"
fi
echo "still running: Ctrl-C stops everything"
while :; do
    pause 3600
done
