# shellcheck shell=bash disable=SC2034,SC2154
# tenants.sh - measures look-ups with two tenants that have the series of the load, and TENANTS that
# have ten each: the cost depends on the tenant that asks. Figures are medians of LOOKUPS as the
# client sees them; each time another small tenant asks.

TENANTS=${TENANTS:-10000}

tenants_about() {
    echo "look-ups of two large tenants among many small ones; cases: where the samples are"
}

tenants_load() {
    unfit=(prometheus prometheus3 victoriametrics)
    flags=(--tenancy.enabled --tenancy.max-tenants=$((TENANTS + 2)))
    sizes series 100000 10000
    sizes scrapes 1 1
    cases=(head settled)
}

tenants_questions() {
    cat <<'END'
names_ms /api/v1/labels
metrics_ms /api/v1/label/__name__/values
series_ms /api/v1/series match[]=up
all_ms /api/v1/series match[]={__name__=~".+"}
END
}

tenants_ask() { # TENANT PATH [ARGUMENT...]
    local arguments=() each
    for each in "${@:3}"; do
        arguments+=(--data-urlencode "$each")
    done
    curl -fsS --noproxy '*' --max-time 60 -G -H "X-Scope-OrgID: $1" -o "$work/answer" \
        -w '%{time_total}\n' "${arguments[@]}" "$url$2" || give_up "does not answer $2"
}

tenants_note() { # KEY PATH [ARGUMENT...]
    local key=$1 i who
    for who in large small; do
        for ((i = 0; i < LOOKUPS; i++)); do
            case $who in
            large) tenants_ask "$(printf 't%05d' $((i % 2)))" "${@:2}" ;;
            small) tenants_ask "$(printf 't%05d' $((2 + i * TENANTS / LOOKUPS)))" "${@:2}" ;;
            esac
        done >"$work/times"
        note "${who}_$key" "$(sort -n "$work/times" | awk '{ t[NR] = $1 } END { printf "%.3f", t[int((NR + 1) / 2)] * 1000 }')"
    done
}

tenants_turn() {
    local key words
    start_server "$name"
    send 0 1 --tenants 2
    series=10 connections=1 send 0 1 --tenants "$TENANTS" --first-tenant 2
    [[ $case == head ]] || force "$name"
    settle
    while read -r key words; do
        read -ra words <<<"$words"
        tenants_note "$key" "${words[@]}"
    done < <(tenants_questions)
    finish
}

tenants_rows() {
    cat <<'END'
large_names_ms|label names of a large one, ms|%.2f
small_names_ms|  of a small one|%.2f
large_metrics_ms|values of __name__ of a large one|%.2f
small_metrics_ms|  of a small one|%.2f
large_series_ms|series of a metric of a large one|%.2f
small_series_ms|  of a small one|%.2f
large_all_ms|all series of a large one|%.2f
small_all_ms|  of a small one|%.2f
peak_rss_mib|peak RSS, MiB|%.0f
END
}
