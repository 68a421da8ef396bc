# shellcheck shell=bash disable=SC2034,SC2154
# lookup.sh - asks for label names, label values and series among many, by Prometheus' API, in the
# head and after settling. Each question is asked LOOKUPS times; if it names an instance, another
# one each time, so that no cache of answers has it. Figures are medians as the client sees them.

LOOKUPS=${LOOKUPS:-40}

lookup_about() {
    echo "label names, label values, series; cases: where the samples are"
}

lookup_load() {
    sizes series 1000000 20000
    sizes scrapes 3 3
    cases=(head settled)
}

# Prints lines of KEY PATH [ARGUMENT...]; @ is replaced by an instance.
lookup_questions() {
    cat <<'END'
names_ms /api/v1/labels
metrics_ms /api/v1/label/__name__/values
instances_ms /api/v1/label/instance/values
series_up_ms /api/v1/series match[]=up
series_instance_ms /api/v1/series match[]={instance="@"}
series_prefix_ms /api/v1/series match[]={__name__=~"node_cpu.*|node_load.*",mode!="idle",instance="@"}
series_cpu_ms /api/v1/series match[]={__name__=~"node_cpu_seconds_total|node_load.*",mode!="idle"}
jobs_of_metric_ms /api/v1/label/job/values match[]=up
metrics_of_instance_ms /api/v1/label/__name__/values match[]={instance="@"}
END
}

lookup_ask() { # INSTANCE PATH [ARGUMENT...]
    local arguments=() each
    for each in "${@:3}"; do
        arguments+=(--data-urlencode "${each//@/$1}")
    done
    curl -fsS --noproxy '*' --max-time 60 -G -o "$work/answer" -w '%{time_total}\n' \
        "${arguments[@]}" "$url$2" || give_up "does not answer $2"
}

lookup_turn() {
    local key words instances i
    start_server "$name"
    send 0 "$scrapes"
    [[ $case == head ]] || force "$name"
    settle
    mapfile -t instances < <(ask "$url/api/v1/label/instance/values" | jq -r '.data[]')
    ((${#instances[@]} >= LOOKUPS)) || give_up "has only ${#instances[@]} instances"
    while read -r key words; do
        read -ra words <<<"$words"
        for ((i = 0; i < LOOKUPS; i++)); do
            lookup_ask "${instances[i]}" "${words[@]}"
        done >"$work/times"
        note "$key" "$(sort -n "$work/times" | awk '{ t[NR] = $1 } END { printf "%.3f", t[int((NR + 1) / 2)] * 1000 }')"
        note "${key%_ms}_bytes" "$(stat -c %s "$work/answer")"
    done < <(lookup_questions)
    finish
}

lookup_rows() {
    cat <<'END'
names_ms|label names, ms|%.2f
metrics_ms|values of __name__|%.2f
instances_ms|values of instance|%.2f
jobs_of_metric_ms|values of job of a metric|%.2f
metrics_of_instance_ms|values of __name__ of an instance|%.2f
series_up_ms|series of a metric|%.2f
series_instance_ms|series of an instance|%.2f
series_prefix_ms|series of prefixes and an instance|%.2f
series_cpu_ms|series of a regex and a negation|%.2f
END
}
