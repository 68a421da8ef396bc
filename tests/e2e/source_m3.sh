#!/bin/bash
# source_m3.sh - samples that a destination of type remote_write sent to a double of M3 are read
# back through a source of type remote_read, as the store has them; and what M3's limits leave out
# is an error.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
name_ports firekeep control m3 reader
# shellcheck source=tests/sources_lib.sh
. tests/sources_lib.sh
m3=$(url_of m3)

begins() { # NAME ARGUMENT...: M3, a writer, and a reader
    start m3 python3 tests/doubles/m3.py --port "${port[m3]}" "${@:2}" && within 20 quiet_curl "$m3/stats" &&
        writes "$1" "type: remote_write, url: '$m3/api/v1/prom/remote/write'" &&
        reads "$1" "type: remote_read, url: '$m3/api/v1/prom/remote/read', labels_url: '$m3'"
}

ends() {
    stop reader
    stop writer
    stop m3
}

same_look_ups() {
    local path
    for path in labels label/job/values label/__name__/values 'label/instance/values?match[]={job="x"}'; do
        diff <(quiet_curl "$url/api/v1/$path" | jq -S .) <(quiet_curl "$reader/api/v1/$path" | jq -S .) || return 1
    done
}

makes_series
claim "seed $seed: M3 starts, a server with a store and one without" begins m3 || exit 1
claim "seed $seed: it is given series that are hard to write" imports "$work/random.ndjson"
claim "seed $seed: everything comes back, bit for bit" "$TOOLS/rrcompare" "$url" "$reader" "${whole[@]}" --quiet
claim "seed $seed: and streamed" same
claim "seed $seed: look-ups answer the same" same_look_ups
claim "seed $seed: ${CASES:-50} random questions are answered the same" answers_alike "${CASES:-50}"
ends

lookup_fails_with() { # WORDS
    curl -sg --noproxy '*' "$reader/api/v1/series?match[]={__name__!=\"\"}" | tee "$work/failed.txt"
    grep -qF "$1" "$work/failed.txt"
}
for how in "limits|query exceeded limit" "limits, old|left out series because of its limits: max_fetch_series_limit_applied|--old"; do
    IFS='|' read -r name words old <<<"$how"
    claim "$name: M3 starts with a limit" begins "${name//, /-}" --series-limit 5 ${old:+"$old"} || continue
    claim "$name: it is given the series" imports "$work/random.ndjson"
    claim "$name: what is left out is told" fails_with "$words" '{__name__!=""}'
    claim "$name: and by look-ups" lookup_fails_with "$words"
    ends
done
done_testing
