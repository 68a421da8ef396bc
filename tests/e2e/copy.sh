#!/bin/bash
# copy.sh - firekeep copy: from a server, a directory and sources into servers, directories and
# destinations: everything is copied and verified; a copy that was interrupted in any way continues.

. tests/lib.sh
. tests/destinations_lib.sh
. tests/counterparts_lib.sh
name_ports firekeep control from to proxied prometheus s3
from=http://127.0.0.1:${port[from]}
to=http://127.0.0.1:${port[to]}
proxied=http://127.0.0.1:${port[proxied]}
firekeep=build/firekeep
[[ -n $SAMPLES && -f $SAMPLES/node15s.rw ]] || skip_all copy "no captures beside the project"
# A sixth of the requests: all series, all of the time.
capture=$work/some.rw
/usr/bin/python3 - "$SAMPLES/node15s.rw" "$capture" <<'END'
import struct
import sys
with open(sys.argv[1], "rb") as whole, open(sys.argv[2], "wb") as some:
    number = 0
    while head := whole.read(4):
        body = whole.read(struct.unpack("<I", head)[0])
        if number // 3 % 6 == 0:
            some.write(head + body)
        number += 1
END

# --- helpers ----------------------------------------------------------------------------------------

copy() { # ARGUMENT...: of all samples
    "$firekeep" copy --config.file="$work/copy.yml" --work="$work/copying" --start="$start" --end="$end" --slice=5m \
        --retry=20s "$@" >"$work/copy.out" 2>&1
    local status=$?
    cat "$work/copy.out"
    return $status
}

copies() { # ARGUMENT...: copies everything, and leaves no file
    copy "$@" || return 1
    grep -q '^verified .*: 0 missing, 0 different' "$work/copy.out" || return 1
    [[ ! -e $work/copying ]]
}

fails() { # STATUS PATTERN ARGUMENT...
    local wanted=$1 pattern=$2
    copy "${@:3}"
    local status=$?
    ((status == wanted)) || {
        echo "status $status instead of $wanted"
        return 1
    }
    grep -Eq -- "$pattern" "$work/copy.out"
}

says() { # PATTERN
    grep -Eq -- "$1" "$work/copy.out" || {
        cat "$work/copy.out"
        return 1
    }
}

same_servers() { # [OPTION...]
    "$TOOLS/rrcompare" "$from" "$to" --start 0 --end 4102444800000 "$@"
}

fresh_to() { # ARGUMENT...
    stop to 2>/dev/null
    rm -rf "$work/to" "$work/copying"
    start_firekeep to "$work/to" "${port[to]}" "$@"
}

# --- copied samples ---------------------------------------------------------------------------------

claim "a server has a capture" start_firekeep from "$work/from" "${port[from]}" || exit 1
claim "it takes it in" "$firekeep" import --url="$from" "$capture" || exit 1
read -r start end < <(quiet_curl "$from/api/v1/status/tsdb" | jq -r '.data.headStats | "\(.minTime / 1000 | floor) \(.maxTime / 1000 | ceil)"')

cat >"$work/copy.yml" <<END2
destinations:
- {name: server, type: remote_write, url: '$to/api/v1/write'}
- {name: other, type: remote_write, url: '$to/api/v1/write', external_labels: {site: here}, relabel: [{regex: 'replica|GOOS', action: labeldrop}]}
- {name: some, type: remote_write, url: '$to/api/v1/write', select: ['{job="node"}', '{__name__=~"go_.*"}']}
- {name: files, type: file, path: $work/files, compression: zstd}
- {name: unread, type: file, path: $work/unread}
- {name: proxied, type: remote_write, url: '$proxied/api/v1/write', protobuf_message: io.prometheus.write.v2.Request, retry: {min_backoff: 50ms, max_backoff: 200ms}}
sources:
- {name: first, type: remote_read, url: '$from/api/v1/read'}
- {name: older, type: remote_read, url: '$from/api/v1/read', time: older_than_local}
- {name: server, type: remote_read, url: '$to/api/v1/read'}
- {name: other, type: remote_read, url: '$to/api/v1/read'}
- {name: some, type: remote_read, url: '$to/api/v1/read'}
- {name: proxied, type: remote_read, url: '$to/api/v1/read'}
- {name: files, type: archive, path: $work/files, layout: flat}
END2

claim "a server starts for what is copied" fresh_to
claim "from URL to URL all is copied and verified" copies "$from" "$to"
claim "both have the same" same_servers
claim "copying it once more does no harm" copies "$from" "$to"
claim "and changes nothing" same_servers
claim "a server is not copied to itself" fails 2 'FROM and TO are the same' "$to" "$to"
claim "nor by another word" fails 2 'FROM and TO are the same' --url="$to" local "$to"
claim "a server starts anew" fresh_to
claim "from a source that is asked only for what is older all is copied" copies older "$to"
claim "that a server would not find the rest in it is said" says 'older_than_local: a server that reads it'
claim "a server starts anew" fresh_to
claim "from a source to a destination all is copied and verified" copies first server
claim "the server has the same as that of the source" same_servers
claim "a server starts anew" fresh_to
claim "local is the server of --url" copies --url="$from" local "$to"
claim "a destination with labels of its own is verified under these" copies first other
claim "the samples are there under these labels" test \
    "$(quiet_curl "$to/api/v1/query" --data-urlencode "time=$end" --data-urlencode 'query=count(up{site="here",replica=""})' | jq -r '.data.result[0].value[1]')" -gt 0
claim "a server starts anew" fresh_to
claim "a destination that selects gets what it selects" copies first some
claim "what it does not select is counted" says '^delivered .*; [0-9]+ not selected by the destination'
mkdir -p "$work/files" "$work/unread"
claim "an archive is written and verified" copies first files
claim "without a source that reads it nothing is verified, and that is said" copy first unread
claim "it says so" says '^not verified: no source reads TO'
claim "--verify-only finds nothing missing in the archive" copy --verify-only first files
claim "an archive is read back into a directory at rest" copies --storage.path="$work/dir" files local
claim "the directory has the same" "$firekeep" export --storage.path="$work/dir" -o "$work/dir.jsonl"
claim "the server exports" "$firekeep" export --url="$from" -o "$work/from.jsonl"
claim "both exports are the same" cmp "$work/dir.jsonl" "$work/from.jsonl"
claim "a directory is copied to a server" fresh_to
claim "all of the directory is copied and verified" copies --storage.path="$work/dir" local "$to"
claim "the server has what the directory has" same_servers
claim "some series are selected" copies --select='up{job="node"}' --select='{__name__=~"go_gc_.*"}' first "$to"

# --- native histograms, NaN payloads, staleness, start times ------------------------------------------

v2=$SAMPLES/v2hist.rw
claim "histograms: a server has them" start_firekeep histograms "$work/histograms" "${port[firekeep]}"
claim "histograms: it takes them in" "$firekeep" import --url="http://127.0.0.1:${port[firekeep]}" "$v2"
read -r h_start h_end < <(quiet_curl "http://127.0.0.1:${port[firekeep]}/api/v1/status/tsdb" | jq -r '.data.headStats | "\(.minTime / 1000 | floor) \(.maxTime / 1000 | ceil)"')
claim "histograms: a server starts anew" fresh_to
claim "histograms: all is copied and verified" copies --start="$h_start" --end="$h_end" "http://127.0.0.1:${port[firekeep]}" "$to"
claim "histograms: both have the same" "$TOOLS/rrcompare" "http://127.0.0.1:${port[firekeep]}" "$to" --start 0 --end 4102444800000
stop histograms

# --- missing and different samples ------------------------------------------------------------------

claim "differences: a server starts anew" fresh_to
claim "differences: it gets a part" copies --select='{__name__=~"go_.*"}' first "$to"
claim "differences: --verify-only counts what is missing" fails 1 '^alertmanager_alerts\{.*: [0-9]+ missing, 0 different' --verify-only first "$to"
line=$("$firekeep" export --url="$from" --match='go_info' -o - 2>/dev/null | head -n 1)
claim "differences: a server starts anew" fresh_to
jq -c '.values[0] = 42 | .values = .values[:1] | .timestamps = .timestamps[:1]' <<<"$line" >"$work/other.jsonl"
claim "differences: it has another value at one time" "$firekeep" import --url="$to" "$work/other.jsonl"
claim "differences: a value that TO has at that time stays, and is told of" fails 1 'go_info.*: 0 missing, 1 different' --select=go_info first "$to"
claim "differences: what was refused can be listed" "$firekeep" dead-letters list --storage.path="$work/copying/log"
claim "differences: the report has both counts and checksums" fails 1 'missing' --verify-only --report="$work/report.jsonl" --select=go_info first "$to"
claim "differences: a line for each series and slice" test "$(jq -c 'select(.different == 1 and .checksums[0] != .checksums[1])' "$work/report.jsonl" | wc -l)" = 1

# --- another question, wrong questions --------------------------------------------------------------

claim "questions: a server starts anew" fresh_to
claim "questions: an interrupted copy leaves its directory" fails 1 'run the same command again' --retry=1s first http://127.0.0.1:1
claim "questions: another copy does not go on with it" fails 1 'belongs to a run with other arguments' first "$to"
rm -rf "$work/copying"
claim "questions: an unknown source is named, with what is like it" fails 2 "source 'firts' not found.*first" firts "$to"
claim "questions: an unknown destination, too" fails 2 "destination 'filse' not found.*files" first filse
claim "questions: local to local is refused" fails 2 'the same' local local
claim "questions: --start later than --end is refused" fails 2 'later' --start=now --end=now-1d first "$to"
claim "questions: nothing was made" test ! -e "$work/copying"
"$firekeep" copy --start=now-1d first server >"$work/copy.out" 2>&1
claim "questions: names need a configuration" says '--config.file is required'

# --- interrupted ------------------------------------------------------------------------------------

kill_while_it_copies() { # SECONDS
    "$firekeep" copy --config.file="$work/copy.yml" --work="$work/copying" --start="$start" --end="$end" --slice=1m first server \
        >"$work/copy.out" 2>&1 &
    local pid=$!
    sleep "$1" # the moment does not matter
    kill -KILL $pid 2>/dev/null
    wait $pid 2>/dev/null
    true
}

claim "killed: a server starts anew" fresh_to
for round in 1 2 3 4 5 6 7 8; do
    kill_while_it_copies "0.$((RANDOM % 40 + 5))"
done
claim "killed: the same command goes on" copies --slice=1m first server
claim "killed: both have the same" same_servers

claim "away: a server starts anew" fresh_to
stop to
claim "away: the copy ends, and says so" fails 1 'destination server: ' --retry=1s first server
claim "away: what was read is kept" test -s "$work/copying/progress"
claim "away: the server is there again" start_firekeep to "$work/to" "${port[to]}"
claim "away: the same command goes on" copies first server
claim "away: it did not copy again" says '^continuing: [0-9]+ of [0-9]+ slices'
claim "away: both have the same" same_servers

# --- a server that is full, throttles, breaks off ---------------------------------------------------

claim "trouble: a server starts anew" fresh_to
if claim "trouble: a proxy stands before it" start_proxy proxied=remote_write:to; then
    fault proxied error '"every": 3'
    fault proxied throttle '"every": 5'
    fault proxied cut '"every": 7'
    claim "trouble: all is copied and verified all the same" copies first proxied
    mend
    claim "trouble: both have the same" same_servers
fi

# --- a source that grows ----------------------------------------------------------------------------

claim "growing: a server starts anew" fresh_to
stop to
"$firekeep" copy --config.file="$work/copy.yml" --work="$work/copying" --start="$start" --end="$end" --retry=1m first server >"$work/copy.out" 2>&1 &
growing=$!
is_copied() {
    grep -q '^slices cc*$' "$work/copying/progress"
}
claim "growing: all is read while TO is away" within 30 is_copied
printf 'late_one{a="b"} 7 %s000\n' $((start + 1)) >"$work/late.prom"
claim "growing: the source gets an older sample" "$firekeep" import --url="$from" "$work/late.prom"
claim "growing: TO is there" start_firekeep to "$work/to" "${port[to]}"
wait $growing
claim "growing: the copy ends well" says '^verified .*: 0 missing, 0 different'
claim "growing: what came late was copied, too" says 'slices? again'
claim "growing: both have the same" same_servers

# --- into other stores, and back ----------------------------------------------------------------------

# Into a destination of this name, and from the source of this name into a directory.
there_and_back() { # NAME
    rm -rf "$work/back"
    copies first "$1" || return 1
    copies --storage.path="$work/back" "$1" local || return 1
    "$firekeep" export --storage.path="$work/back" -o "$work/back.jsonl" || return 1
    cmp "$work/back.jsonl" "$work/from.jsonl"
}

store() { # TYPE KEYS [KEYS OF THE SOURCE]
    cat >"$work/copy.yml" <<END2
destinations: [{name: store, type: $1, $2}]
sources:
- {name: first, type: remote_read, url: '$from/api/v1/read'}
- {name: store, type: ${3-$1, $2}}
END2
}

stop to
"$firekeep" export --url="$from" -o "$work/from.jsonl" 2>/dev/null
newer=$PEERS/prometheus/usr/bin/prometheus
start_prometheus() {
    mkdir -p "$work/prometheus"
    echo 'storage: {tsdb: {out_of_order_time_window: 10y}}' >"$work/prometheus.yml"
    start prometheus "$newer" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/prometheus" --storage.tsdb.retention.time=10y \
        --web.listen-address="127.0.0.1:${port[prometheus]}" --web.enable-remote-write-receiver
    wait_ready prometheus "http://127.0.0.1:${port[prometheus]}/-/ready"
}
if [[ -x $newer ]] && claim "Prometheus: it starts" start_prometheus; then
    store remote_write "url: 'http://127.0.0.1:${port[prometheus]}/api/v1/write'" "remote_read, url: 'http://127.0.0.1:${port[prometheus]}/api/v1/read'"
    claim "Prometheus: all goes there and comes back" there_and_back store
    stop prometheus
else
    skip "Prometheus" "a Prometheus 3 is not there"
fi
# An object is finished after an hour, or when no samples follow: this script cannot wait that long.
if has s3 && claim "S3: s3rver starts" start_s3 && claim "S3: a bucket" client "$(url_of s3)" make-bucket metrics; then
    bucket="region: eu-west-1, endpoint: '$(url_of s3)', path_style: true, bucket: metrics, access_key: S3RVER, secret_key: S3RVER"
    store s3 "$bucket, prefix: a/, roll_age: 1h" "archive, $bucket, prefix: a/, late: 100y"
    claim "S3: all goes there and comes back, and no object waits until it is old" there_and_back store
    stop s3
else
    skip "S3" "s3rver is not there"
fi

# --- tenants ----------------------------------------------------------------------------------------

printf '%s\n' 'tenancy: {enabled: true}' 'sources:' \
    "- {name: theirs, type: remote_read, url: '$from/api/v1/read', tenants: [one]}" >"$work/tenants.yml"
copies_theirs() { # ARGUMENT...
    "$firekeep" copy --config.file="$work/tenants.yml" --work="$work/theirs" --start="$start" --end="$end" --slice=5m \
        --retry=20s "$@" theirs local >"$work/copy.out" 2>&1
    says '^verified .*: 0 missing, 0 different'
}
series_of() { # URL [ARGUMENT...]
    quiet_curl "${@:2}" -G "$1/api/v1/query" -d "time=$end" --data-urlencode 'query=count(last_over_time({__name__!=""}[1d]))' |
        jq -r '.data.result[0].value[1]'
}
of_tenant_is_all() { # TENANT
    echo "$(series_of "$from") $(series_of "$to" -H "X-Scope-OrgID: $1")"
    [[ $(series_of "$from") == "$(series_of "$to" -H "X-Scope-OrgID: $1")" ]]
}
stop to
rm -rf "$work/to"
claim "tenants: a server of tenants starts" start_firekeep to "$work/to" "${port[to]}" --config.file="$work/tenants.yml"
claim "tenants: what a source has goes to its tenant" copies_theirs --url="$to"
claim "tenants: it is all there" of_tenant_is_all one
claim "tenants: with another name it goes there" copies_theirs --url="$to" --to-tenant=three
claim "tenants: it is all there, too" of_tenant_is_all three
stop to
rm -rf "$work/to"
claim "tenants: into a directory it goes the same way" copies_theirs --storage.path="$work/to"
claim "tenants: a server starts with the directory" start_firekeep to "$work/to" "${port[to]}" --config.file="$work/tenants.yml"
claim "tenants: that tenant has it all" of_tenant_is_all one

# --- a server that reads the copied samples ---------------------------------------------------------

stop to
rm -rf "$work/to"
printf '%s\n' 'sources:' "- {name: first, type: remote_read, url: '$from/api/v1/read'}" >"$work/reads.yml"
claim "beside: a server that reads the source, and has nothing stored, starts" start_firekeep to "$work/to" "${port[to]}" --config.file="$work/reads.yml"
claim "beside: it answers with what the source has" test "$(series_of "$from")" == "$(series_of "$to")"
claim "beside: what the source has is not stored, and missing" fails 1 '^verified .* [1-9][0-9]* missing' --verify-only --url="$to" first local
claim "beside: by its URL, too" fails 1 '^verified .* [1-9][0-9]* missing' --verify-only first "$to"
claim "beside: a copy of some of it leaves the rest missing" eval 'copy --select=up --url="$to" first local && fails 1 " [1-9][0-9]* missing" --verify-only --url="$to" first local'
claim "beside: all is copied" copies --url="$to" first local
claim "beside: and stored" same_servers --header 'X-Firekeep-Sources: none'
claim "beside: as a source, local is what is stored" eval 'rm -rf "$work/copying" && copies --url="$to" local "$from"'

# --- unreadable parts -------------------------------------------------------------------------------

mkdir -p "$work/junk/2023/11/14/22"
{
    for i in 1 2 3; do echo '{"name":"up","time":170000000'$i'000,"value":1,"labels":{"__name__":"up"}}'; done
    echo 'what is this?'
} >"$work/junk/2023/11/14/22/one"
printf '%s\n' 'sources:' "- {name: junk, type: archive, path: $work/junk, layout: flat}" >"$work/junk.yml"
copies_junk() { # ARGUMENT...
    "$firekeep" copy --config.file="$work/junk.yml" --work="$work/junked" --start=2023-11-01 --end=2023-12-01 "$@" junk local >"$work/copy.out" 2>&1
    [[ $? == 1 ]] && says 'left out of junk: 1 lines are not samples' && says 'junk was not read whole' && (($(grep -c 'left out of' "$work/copy.out") == 1)) && says '^verified .* 3 samples: 0 missing'
}
claim "left out: what can be read is copied, and the rest is told, with status 1" copies_junk --storage.path="$work/junk-dir"
claim "left out: also when it is done again" eval 'rm -rf "$work/junked" && copies_junk --storage.path="$work/junk-dir"'
claim "left out: also when it is only verified" copies_junk --storage.path="$work/junk-dir" --verify-only
stop to
rm -rf "$work/to"
claim "left out: a server that reads it starts" start_firekeep to "$work/to" "${port[to]}" --config.file="$work/junk.yml" --storage.mode=none
exports_junk() {
    "$firekeep" export --url="$to" -o "$work/junk.jsonl" 2>"$work/copy.out"
    [[ $? == 1 ]] && says 'left out: 1 lines are not samples' && [[ -s $work/junk.jsonl ]]
}
claim "left out: export says so, too" exports_junk

stop to
stop from
done_testing
