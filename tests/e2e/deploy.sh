#!/bin/bash
# deploy.sh - the files of packaging/compose and packaging/kubernetes: accepted by the tools that read
# them, and what the parts of docker-compose.yml do together, run as processes. grafana.sh has the
# requests of Grafana.

. tests/lib.sh
compose=packaging/compose
read -r port prometheus_port alertmanager_port < <(free_ports 3 | tr '\n' ' ')
url=http://127.0.0.1:$port

# --- docker-compose.yml ------------------------------------------------------------------------------

# Each file that it mounts exists, and the image is that of packaging/container/build.
compose_is_valid() {
    docker-compose --file "$compose/docker-compose.yml" config >"$work/compose.yml" 2>"$work/compose.txt" || {
        cat "$work/compose.txt"
        return 1
    }
    local file
    for file in $(sed -n 's|^ *- \(/[^:]*\):/.*:ro$|\1|p' "$work/compose.yml"); do
        [[ -f $file ]] || {
            echo "$file"
            return 1
        }
    done
    grep -q "image: firekeep:$(build/firekeep version | cut -d ' ' -f 2)$" "$work/compose.yml"
}

# The names and ports inside of containers become those of this machine.
local_file() { # FILE
    sed "s|firekeep:9201|127.0.0.1:$port|; s|alertmanager:9093|127.0.0.1:$alertmanager_port|; s|localhost:9090|127.0.0.1:$prometheus_port|
        s|/usr/share/firekeep/|$PWD/docs/|; s|scrape_interval: 15s|scrape_interval: 1s|" "$compose/$1" >"$work/$1"
}

parts_start() {
    for file in firekeep.yml prometheus.yml alertmanager.yml; do
        local_file "$file"
    done
    start alertmanager prometheus-alertmanager --config.file="$work/alertmanager.yml" --storage.path="$work/alertmanager" \
        --web.listen-address="127.0.0.1:$alertmanager_port" --cluster.listen-address=
    start prometheus prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/prometheus" \
        --web.listen-address="127.0.0.1:$prometheus_port"
    start_firekeep firekeep "$work/data" "$port" --config.file="$work/firekeep.yml" && wait_ready prometheus "http://127.0.0.1:$prometheus_port/-/ready" &&
        wait_ready alertmanager "http://127.0.0.1:$alertmanager_port/-/ready"
}

# All three are scraped, stored, and up, and Firekeep by itself only.
firekeep_has_all() {
    build/firekeep query --url="$url" --format=json 'sort_by_label(count by (job) (up == 1), "job")' 2>/dev/null >"$work/up.json"
    [[ $(jq -r '.result[] | "\(.metric.job) \(.value[1])"' "$work/up.json") == $'alertmanager 1\nfirekeep-self 1\nprometheus 1' ]]
}

prometheus_reads_back() {
    curl -fs --noproxy '*' "http://127.0.0.1:$prometheus_port/api/v1/query" -d 'query=firekeep_build_info' | jq -e '.data.result | length >= 1'
}

alertmanager_is_known() {
    curl -fs --noproxy '*' "$url/api/v1/alertmanagers" | jq -e ".data.activeAlertmanagers[].url | contains(\":$alertmanager_port/\")"
}

# Another container's name is allowed, any other is not: pages of others could use it.
allows_its_name() {
    [[ $(curl -s --noproxy '*' -o "$work/answer" -w '%{http_code}' -H 'Host: firekeep:9201' "$url/api/v1/labels") == 200 &&
        $(curl -s --noproxy '*' -o "$work/answer" -w '%{http_code}' -H 'Host: other:9201' "$url/api/v1/labels") == 403 ]]
}

grafana_has_the_source() {
    grep -q 'url: http://firekeep:9201$' "$compose/grafana/datasource.yml" && jq -e .uid docs/firekeep.dashboard.json
}

# --- Kubernetes --------------------------------------------------------------------------------------

objects() { # FILE
    python3 -c 'import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))' <"$1"
}

kustomize_renders() {
    kubectl kustomize packaging/kubernetes >"$work/objects.yml"
}

objects_are_valid() {
    sed 's/replicas: 1/replicas: one/' "$work/objects.yml" >"$work/wrong.yml"
    objects "$work/objects.yml" | node tests/tools/manifests.cjs "$PEERS" && ! objects "$work/wrong.yml" | node tests/tools/manifests.cjs "$PEERS"
}

configuration_is_valid() {
    sed "s|/usr/share/firekeep/|$PWD/docs/|" packaging/kubernetes/firekeep.yml >"$work/kubernetes.yml" && build/firekeep check "$work/kubernetes.yml"
}

if command -v docker-compose >/dev/null; then
    claim "docker-compose accepts its file" compose_is_valid
else
    skip "docker-compose accepts its file" "no docker-compose"
fi
claim "the parts of docker-compose.yml start" parts_start || exit 1
claim "Firekeep has the metrics of all three, and its own once" within 60 firekeep_has_all
claim "Prometheus reads it back" prometheus_reads_back
claim "Firekeep has the Alertmanager" alertmanager_is_known
claim "others reach Firekeep by its name only" allows_its_name
claim "Grafana gets the data source and the dashboard" grafana_has_the_source
claim "they end" eval 'stop prometheus; stop alertmanager; stop firekeep'
if command -v kubectl >/dev/null; then
    claim "kustomize renders the manifests" kustomize_renders
else
    skip "kustomize renders the manifests" "no kubectl"
    cat packaging/kubernetes/service.yml <(echo ---) packaging/kubernetes/statefulset.yml >"$work/objects.yml"
fi
if [[ -d $PEERS/npm/node_modules/kubernetes-models ]]; then
    claim "the manifests are valid" objects_are_valid
else
    skip "the manifests are valid" "no build/peers/npm"
fi
claim "the configuration in the ConfigMap is valid" configuration_is_valid
done_testing
