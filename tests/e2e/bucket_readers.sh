#!/bin/bash
# bucket_readers.sh - three writers with a prefix each in one bucket, and two readers of it
# (docs/scaling.md): they show what the writers show, at once.

. tests/lib.sh
mapfile -t ports < <(free_ports 5)
declare -A port=([one]=${ports[0]} [two]=${ports[1]} [three]=${ports[2]} [warns]=${ports[3]} [fails]=${ports[4]})
firekeep=build/firekeep
hour=3600
end=$(($(now_ms) / 1000 / hour * hour - 40 * hour)) # merges downsample days that are over
first=$((end - 72 * hour))
days=(--data-urlencode "start=$first" --data-urlencode "end=$((end + 60))" --data-urlencode step=600)

mkdir "$work/bucket"

at() { # SERVER
    echo "http://127.0.0.1:${port[$1]}"
}

writer() { # NAME
    {
        echo "object_storage: {type: directory, path: $work/bucket/$1, upload_after: 0s, keep_local: {time: 1d}}"
        [[ $1 != three ]] || echo "downsampling: [{match: '{}', resolution: 1h, after: 1d}]"
    } >"$work/$1.yml"
    start_firekeep "$1" "$work/$1" "${port[$1]}" --config.file="$work/$1.yml" --web.enable-admin-api
}

reader() { # warns|fails
    local writer
    {
        echo "sources:"
        for writer in one two three; do
            echo "- {name: $writer, type: bucket, path: $work/bucket/$writer, recent_from: ['$(at $writer)'], on_error: ${1%s}, timeout: 10s}"
        done
    } >"$work/$1.yml"
    start_firekeep "$1" "$work/$1" "${port[$1]}" --config.file="$work/$1.yml" --storage.mode=reader
}

old() { # WRITER: samples of three days, every minute
    awk -v first="$first" -v end="$end" -v writer="$1" 'BEGIN {
        srand(length(writer))
        print "# TYPE trips counter\n# HELP trips of " writer
        for (t = first; t < end; t += 60) {
            print "load{writer=\"" writer "\"} " int(rand() * 1000) " " t "000"
            print "trips{writer=\"" writer "\"} " (n += int(rand() * 9)) " " t "000"
        }
    }' | "$firekeep" import --url="$(at "$1")" --format=prometheus -
}

now() { # WRITER VALUE: a sample of this moment
    printf 'fresh{writer="%s"} %s %s\n' "$1" "$2" "$(now_ms)" | "$firekeep" import --url="$(at "$1")" --format=prometheus -
}

asks() { # SERVER EXPRESSION [ARGUMENT...]
    curl -sfG "$(at "$1")/api/v1/query" --data-urlencode "query=$2" "${@:3}"
}

ranges() { # SERVER EXPRESSION: the answer, without the time that it took
    curl -sfG "$(at "$1")/api/v1/query_range" "${days[@]}" --data-urlencode "query=$2" | jq -cS '.data.result'
}

is_in_bucket() { # WRITER
    curl -sf "$(at "$1")/metrics" | awk '$1 == "firekeep_bucket_remote_parts" && $2 > 0 { found = 1 } END { exit !found }'
}

agree() { # WRITER EXPRESSION: of its series
    [[ $(ranges "$1" "$2") != '[]' && $(ranges "$1" "$2") == "$(ranges fails "$2")" && $(ranges fails "$2") == "$(ranges warns "$2")" ]]
}

for name in three two one; do
    claim "$name starts to write" writer "$name"
    claim "$name takes samples of days" old "$name"
    claim "$name makes parts of them" curl -sf -XPOST "$(at "$name")/api/v1/admin/tsdb/flush"
    claim "$name merges them" curl -sf -XPOST "$(at "$name")/api/v1/admin/tsdb/merge"
done
for name in one two three; do # a delta a minute: that of the rules came first
    claim "$name has parts that are only in the bucket" within 120 is_in_bucket "$name"
done
claim "a reader starts, which fails if a writer is away" reader fails
claim "a reader starts, which warns then" reader warns
claim "a reader takes no samples" says "501" 0 curl -s -o /dev/null -w '%{http_code}' -XPOST --data-binary '' -H 'Content-Type: application/x-protobuf' "$(at fails)/api/v1/write"
for name in one two three; do
    claim "readers answer like $name" agree "$name" "sum by (writer) (sum_over_time(load{writer=\"$name\"}[30m]))"
    claim "readers have the rates of $name" agree "$name" "rate(trips{writer=\"$name\"}[2h])"
    claim "readers have the maxima of $name" agree "$name" "max_over_time(load{writer=\"$name\"}[1h])"
done
claim "readers have the series of all writers" says ',"3"]' 0 asks fails 'count(load)' --data-urlencode "time=$((end - 60))"
claim "and their metadata" says 'of two' 0 curl -sf "$(at fails)/api/v1/metadata"
claim "and their labels" says '"one","three","two"' 0 curl -sf "$(at fails)/api/v1/label/writer/values"
for value in 1 2 3; do
    claim "a writer takes sample $value" now two "$value"
    claim "readers show it at once" says "\"$value\"" 0 asks warns fresh
done
claim "series are deleted" curl -sfG -XPOST "$(at two)/api/v1/admin/tsdb/delete_series" --data-urlencode 'match[]=load{writer="two"}'
claim "readers do not show them any more" says ',"2"]' 0 asks fails 'count(load)' --data-urlencode "time=$((end - 60))"
claim "the deletion is undone" curl -sf -XPOST "$(at two)/api/v1/admin/tsdb/deletions/1/undo"
claim "readers show them again" says ',"3"]' 0 asks fails 'count(load)' --data-urlencode "time=$((end - 60))"
claim "parts are merged while a reader looks" curl -sf -XPOST "$(at one)/api/v1/admin/tsdb/merge"
claim "readers answer like one" agree one 'sum_over_time(load{writer="one"}[30m])'
crash two
claim "without a writer one reader names it" says "two" 22 curl -sG --fail-with-body "$(at fails)/api/v1/query" --data-urlencode 'query=fresh'
claim "the other one warns" says '"warnings":["source two: samples that are not in the bucket yet are missing' 0 asks warns 'count(load)' --data-urlencode "time=$((end - 60))"
claim "and shows what is in the bucket" says ',"3"]' 0 asks warns 'count(load)' --data-urlencode "time=$((end - 60))"
claim "the writer comes back" writer two
claim "readers have all of it again" within 30 says '"3"' 0 asks fails fresh
rm "$(find "$work/bucket/three/parts" -type f | head -n 1)"
stop fails
stop warns
claim "a reader starts again" reader fails
claim "and the other one" reader warns
claim "a missing object is an error that names it" says "has no object parts/" 22 curl -sG --fail-with-body "$(at fails)/api/v1/query_range" "${days[@]}" --data-urlencode 'query=max_over_time(load{writer="three"}[2h])'
claim "and no hole if warnings are allowed" says "has no object parts/" 22 curl -sG --fail-with-body "$(at warns)/api/v1/query_range" "${days[@]}" --data-urlencode 'query=max_over_time(load{writer="three"}[1m])'
stop fails
stop warns
mv "$work/bucket" "$work/away"
claim "a reader starts without the bucket" reader fails
claim "and the other one, too" reader warns
claim "a query says which bucket is missing" says "source one: the bucket $work/bucket/one" 22 curl -sG --fail-with-body "$(at fails)/api/v1/query" --data-urlencode 'query=load{writer="one"}'
claim "or warns of it" says '"warnings":["source one: the bucket' 0 asks warns 'load{writer="one"}'
mv "$work/away" "$work/bucket"
claim "it answers when the bucket is back" says '"3"' 0 asks fails fresh
done_testing
