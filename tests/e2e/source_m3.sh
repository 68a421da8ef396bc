#!/bin/bash
# source_m3.sh - samples that a destination of type remote_write sent to a double of M3 are read
# back through a source of type remote_read, as the store has them; and what M3's limits leave out
# is an error.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
firekeep=build/firekeep
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
name_ports firekeep control m3 reader

m3=$(url_of m3)
reader=http://127.0.0.1:${port[reader]}
seed=${SEED:-$RANDOM}

start_m3() { # ARGUMENT...
    start m3 python3 tests/doubles/m3.py --port "${port[m3]}" "$@"
    within 20 quiet_curl "$m3/stats"
}

writes() {
    cat >"$work/writer.yml" <<END
destinations:
  - {name: m3, type: remote_write, url: '$m3/api/v1/prom/remote/write', batch: {max_age: 50ms}}
END
    rm -rf "$work/writer"
    start_firekeep writer "$work/writer" "${port[firekeep]}" --config.file="$work/writer.yml" || return 1
    within 20 all_open || return 1
    python3 tests/tools/random_matchers.py series "$seed" 120 >"$work/random.ndjson" || return 1
    "$firekeep" import --url="$url" "$work/random.ndjson" && within 60 all_settled m3 || return 1
    [[ $(samples dead_lettered_total m3) == 0 ]]
}

reads() { # [KEYS]
    cat >"$work/reader.yml" <<END
storage: {mode: none}
sources:
  - {name: m3, type: remote_read, url: '$m3/api/v1/prom/remote/read', labels_url: '$m3'${1-}}
END
    start_firekeep reader "$work/reader" "${port[reader]}" --config.file="$work/reader.yml"
}

same() {
    "$TOOLS/rrcompare" "$url" "$reader" "${whole[@]}" --quiet "$@"
}

same_look_ups() {
    local path
    for path in labels label/job/values label/__name__/values 'label/instance/values?match[]={job="x"}'; do
        diff <(quiet_curl "$url/api/v1/$path" | jq -S .) <(quiet_curl "$reader/api/v1/$path" | jq -S .) || return 1
    done
}

fails_with() { # WORDS PATH
    curl -sg --noproxy '*' "$reader/api/v1/$2" | tee "$work/failed.txt"
    grep -qF "$1" "$work/failed.txt"
}

# M3 with a limit, and the same series again.
limited() { # WORDS ARGUMENT...
    local name=limits
    [[ $* != *--old* ]] || name="limits, old"
    claim "$name: M3 starts" start_m3 --series-limit 5 "${@:2}" || return
    claim "$name: it is given the series" writes
    claim "$name: a server without a store starts" reads || return
    claim "$name: what is left out is told" fails_with "$1" 'query?query={__name__!=""}&time=1700000050'
    claim "$name: and by look-ups" fails_with "$1" 'series?match[]={__name__!=""}'
    stop reader
    stop writer
    stop m3
}

claim "seed $seed: M3 starts" start_m3 || exit 1
claim "seed $seed: it is given series that are hard to write" writes || exit 1
claim "seed $seed: a server without a store starts" reads || exit 1
claim "seed $seed: everything comes back, bit for bit" same
claim "seed $seed: and streamed" same --streamed
claim "seed $seed: look-ups answer the same" same_look_ups
claim "seed $seed: ${CASES:-75} random questions are answered the same" \
    python3 tests/tools/random_matchers.py compare "$seed" "${CASES:-75}" "$url" "$reader"
stop reader
stop writer
stop m3
limited 'query exceeded limit'
limited 'left out series because of its limits: max_fetch_series_limit_applied' --old
done_testing
