#!/bin/bash
# aws.sh - samples written to one server arrive in Kinesis, Firehose, S3 and Timestream, each one
# and in the order of its series, whatever they refuse and whichever process is killed; and
# credentials, regions and certificates work as docs/destinations/aws.md says.
#
# Kinesis is kinesalite, S3 is s3rver, which checks signatures; Firehose, STS and IAM, which checks
# signatures and policies, are moto; Timestream is doubles/timestream.py, which checks signatures.
# doubles/fault_proxy.py is between them and Firekeep. Other clients (botocore, aws-kinesis-agg) read
# the content, which tools without Firekeep's decoders compare with the sent samples.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
region=eu-west-1
name_ports firekeep control kinesis s3 moto timestream_service ndjson packed kpl plain gzipped gz zst big timestream secure sts
s3=$(url_of s3) aws=$(url_of moto)
all=()

start_proxy_of_all() {
    make_certificate proxy 127.0.0.1 IP:127.0.0.1 &&
        start_proxy {ndjson,packed,kpl}=kinesis:kinesis {plain,gzipped}=firehose:moto {gz,zst,secure}=s3:s3 big=s3:moto \
            timestream=timestream:timestream_service sts=sts:moto -- --tls secure --tls-cert "$work/proxy.pem" --tls-key "$work/proxy.key"
}

entries() { # CALLED DESTINATION...
    local name
    echo 'destinations:'
    for name in "${@:2}"; do
        case $(kind_of "$name") in
        s3) entry "$name" "$1" 'access_key: S3RVER' 'secret_key: S3RVER' ;;
        timestream) entry "$name" "$1" 'access_key: TSKEY' 'secret_key: TSSECRET' ;;
        *) entry "$name" "$1" 'access_key: KEY' 'secret_key: SECRET' ;;
        esac
    done
}

delivers() { # NAME DESTINATION...: all samples, and the account is right
    local name
    for name in "${@:2}"; do
        claim "$it: $name confirms all samples, and the account is right" within 20 shows "$name" delivered="$1" queued=0
    done
}

if ! can_read_aws; then
    skip_all "aws" "no botocore or no zstd"
fi
claim "the proxy is there" start_proxy_of_all || exit 1
claim "timestream: the double is there" start_timestream --table metrics.storm --magnetic-writes --access-key TSKEY --secret-key TSSECRET || exit 1
if has kinesis && claim "kinesis: kinesalite is there" start_kinesis; then
    all+=(ndjson packed kpl)
else
    skip "kinesis" "kinesalite is not there"
fi
if has s3 && claim "s3: s3rver is there" start_s3 && claim "s3: the bucket is made" client "$s3" make-bucket metrics; then
    all+=(gz zst)
else
    skip "s3" "s3rver is not there"
fi
if has moto && claim "firehose: moto is there" start_moto && claim "firehose: its bucket is made" client "$aws" make-bucket delivered; then
    all+=(plain gzipped)
else
    skip "firehose" "moto is not there"
fi
all+=(timestream)

# --- every kind of value, then everything goes wrong and everybody is killed -----------------------------

{
    every_kind
    echo 'reserved{time="a",measure_name="b",ts_x="c",measure_value="d",U__x="e",H__y="f"} 1 1700000000000'
    echo 'job:up:sum{label_whose_name_is_longer_than_the_sixty_bytes_that_timestream_takes="a"} 2 1700000000000'
    echo '@histogram bounds 1700000000000 kind=int schema=-53 sum=3.5 count=6 bounds=0.5,1,2.5 pos=0:4/1,2,0,3'
    echo '@histogram latency{code="stale"} 1700000000000 kind=float schema=0 sum=0x7ff0000000000002 count=0'
} >"$work/bits.txt"
"$TOOLS/rwmake" --version 2 <"$work/bits.txt" >"$work/bits.rw"

# The numbers have no common divisor, so faults coincide in many orders. The fault that lets a call
# pass comes last, so that all of them happen, even to a destination that needs only one call.
let_all_go_wrong() {
    local name
    for name in "${all[@]}"; do
        fault_again "$name" throttle 11 && fault_again "$name" error 7 && fault_again "$name" cut 5 && fault_again "$name" cut_before 6 || return 1
        case $(kind_of "$name") in
        kinesis | firehose) fault_again "$name" partial 3 '"third": 2' || return 1 ;;
        esac
        fault_again "$name" slow 13 '"seconds": 0.2' || return 1
    done
}

kill_all() {
    local name
    crash storm
    for name in kinesis s3; do
        ! is_running "$name" || { crash "$name" && "start_$name"; } || return 1
    done
    serve
}

storm() { # CAPTURE: writes while all of them are killed
    "$TOOLS/rwreplay" "$1" "$url" --retry 60 --check >"$work/replay.txt" 2>&1 &
    local sender=$!
    for _ in 1 2; do
        sleep 0.4 # not awaited: any moment is a good one
        kill_all || return 1
    done
    wait "$sender" || {
        cat "$work/replay.txt"
        return 1
    }
}

all_went_wrong() { # DESTINATION: each fault happened, and calls got through all the same
    local kinds='["throttle", "error", "cut", "cut_before", "slow"]'
    [[ $(kind_of "$1") =~ kinesis|firehose ]] && kinds='["throttle", "error", "cut", "cut_before", "slow", "partial"]'
    told "$1" "(.faults | keys) as \$had | $kinds - \$had | . == []"
}

arrived_in_order() { # DESTINATION
    arrived "$1" storm "$work/sent.rw" 1000 --any-order && "$TOOLS/rrcompare" "$work/sent.rw" "$work/$1.rw" --common --in-order "${whole[@]}"
}

it=storm
cp "$work/bits.rw" "$work/sent.rw"
claim "storm: streams are made" make_streams storm "${all[@]}"
entries storm "${all[@]}" | write_config
claim "storm: starts" serve
takes bits
delivers 19 "${all[@]}"
if [[ -n $SAMPLES && -f $SAMPLES/v2hist.rw ]]; then
    head_of "$SAMPLES/v2hist.rw" 40 >"$work/storm.rw"
    cat "$work/storm.rw" >>"$work/sent.rw"
    claim "storm: things are to go wrong" let_all_go_wrong
    claim "storm: everything is acknowledged while all are killed again and again" storm "$work/storm.rw"
    for name in "${all[@]}"; do
        claim "storm: $name: all kinds of faults happen" within 60 all_went_wrong "$name"
    done
    claim "storm: everything arrives while things go wrong" within 120 all_settled "${all[@]}"
    claim "storm: nothing goes wrong any more" mend
else
    skip "captures" "no captures beside the project"
fi
for name in "${all[@]}"; do
    claim "storm: $name: the account is right, and nothing was given up" shows "$name" dead_lettered=0 dropped=0 queued=0
done
ends
for name in "${all[@]}"; do
    claim "storm: $name: what arrived is what was sent, in order" arrived_in_order "$name"
    [[ $name == timestream ]] || claim "storm: $name: exemplars came, too" [ "$(found exemplars "$name")" -ge 1 ]
    echo "storm: $name: $(<"$work/$name.txt")"
done

# --- other shards -----------------------------------------------------------------------------------

# A shard is split while samples arrive. Consumers of aggregates skip lines with a key of another
# shard: those lines are sent again, by the new list.
if [[ " ${all[*]} " == *" kpl "* ]]; then
    for half in 0 1; do
        for ((i = 0; i < 400; i++)); do
            echo "work{shop=\"$i\"} $i $((1700000000000 + half * 15000))"
        done | "$TOOLS/rwmake" >"$work/half$half.rw"
    done
    cat "$work/half0.rw" "$work/half1.rw" >"$work/halves.rw"
    it=split split=(ndjson packed kpl)
    claim "split: streams are made" client "$(url_of kinesis)" make-streams 2 "${split[@]/#/split-}"
    entries split "${split[@]}" | write_config
    claim "split: starts" serve
    takes half0
    delivers 400 "${split[@]}"
    for name in "${split[@]}"; do
        claim "split: $name: a shard is halved" client "$(url_of kinesis)" split "split-$name"
    done
    takes half1
    delivers 800 "${split[@]}"
    ends
    for name in "${split[@]}"; do
        claim "split: $name: what consumers get is what was sent, in order" arrived "$name" split "$work/halves.rw" 2
    done
    claim "split: kpl: something went astray" grep -q 'passed over [1-9]' "$work/passed-over.txt"
fi

# --- credentials ------------------------------------------------------------------------------------

# A session that is over, and a new one in the files: with the same destination, unasked.
if [[ " ${all[*]} " == *" ndjson "* ]]; then
    mkdir -p "$work/keys"
    renew() { # NUMBER
        echo "KEY$1" >"$work/keys/key.new"
        echo "SECRET$1" >"$work/keys/secret"
        echo "TOKEN$1" >"$work/keys/token"
        mv "$work/keys/key.new" "$work/keys/key"
    }
    renew 1
    make_streams session ndjson
    {
        echo 'destinations:'
        entry ndjson session "access_key_file: $work/keys/key" "secret_key_file: $work/keys/secret" "session_token_file: $work/keys/token"
    } | write_config
    fault ndjson denied
    it=session
    claim "session: starts" serve
    takes bits
    claim "session: where we may not it is blocked" within 10 is_in_state ndjson blocked
    claim "session: and says so" has_error ndjson 'AccessDenied\|not authorized'
    claim "session: that is mended" mend ndjson
    fault ndjson expired '"access_key": "KEY1"'
    claim "session: with one that is over nothing is sent, and it says so" within 20 has_error ndjson "still returns the keys that the service refused"
    claim "session: everything is kept" within 10 shows ndjson queued=19 dead_lettered=0
    renew 2
    claim "session: a new one in the files is taken" within 30 shows ndjson delivered=19 queued=0
    claim "session: calls are signed by its key" told ndjson '.keys[-2:] == ["KEY1", "KEY2"]'
    stop session
    claim "session: what arrived is what was sent" arrived ndjson session "$work/bits.rw" 1 --any-order
    mend ndjson
fi

# A user may only assume a role, which has the policy of docs/destinations/firehose.md; the service
# checks signatures and policies.
if [[ " ${all[*]} " == *" plain "* ]]; then
    make_streams role plain
    statement="{\"Effect\": \"Allow\", \"Action\": \"firehose:PutRecordBatch\", \"Resource\": \"*\"}"
    claim "role: a user and a role are made" client "$aws" make-role relay "$work/role-key" "$work/role-secret" "$statement"
    check_signatures() { # after N calls; inf: never
        quiet_curl -X POST "$aws/moto-api/reset-auth" -H 'Content-Type: text/plain' -d "$1"
    }
    claim "role: signatures and policies are checked from here" check_signatures 0
    role_config() { # ROLE
        echo 'destinations:'
        entry plain role "access_key_file: $work/role-key" "secret_key_file: $work/role-secret" "role_arn: arn:aws:iam::123456789012:role/$1"
    }
    export AWS_ENDPOINT_URL_STS=http://127.0.0.1:${port[sts]}
    role_config somebody-else | write_config
    fault sts error '"times": 1'
    fault sts throttle '"times": 1'
    it=role
    claim "role: starts" serve
    takes bits
    claim "role: one that we may not take on blocks" within 20 is_in_state plain blocked
    role_config relay | write_config
    claim "role: a reload names the right one" reload
    claim "role: with it all is delivered" within 20 shows plain delivered=19 queued=0
    claim "role: calls are signed by a key of the role" told plain '.keys[-1] | startswith("ASIA")'
    stop role
    unset AWS_ENDPOINT_URL_STS
    claim "role: and no longer" check_signatures inf
    claim "role: what arrived is what was sent" arrived plain role "$work/bits.rw" 1 --any-order
fi

# --- an object in parts -------------------------------------------------------------------------------

# This comes after readers of Firehose's content, which moto does not return after uploads in parts.
# Killed between parts, the destination continues; the upload begun before is aborted.
if [[ " ${all[*]} " == *" plain "* ]]; then
    awk 'BEGIN {
        for (i = 0; i < 16000; i++) {
            if (i && i % 2000 == 0) print "---"
            printf "many{i=\"%d\",text=\"%0480d\"} %d.5 %.0f\n", i % 1000, i % 1000, i, 1700000000000 + i
        }
    }' | "$TOOLS/rwmake" >"$work/large.rw"
    it=parts
    entries parts big |
        sed "s/: S3RVER/: KEY/; s/bucket: .*/bucket: delivered/; s/roll_bytes: .*/roll_bytes: 64MiB/; s/roll_age: .*/roll_age: 3s/; s/compression: .*/compression: none/" | write_config
    claim "parts: starts" serve
    fault big slow '"every": 1, "seconds": 1'
    takes large
    # The name is looked for, the upload begun, and a part sent.
    claim "parts: an upload is begun, and the first part there" within 30 told big '.passed >= 3'
    crash parts
    claim "parts: an upload is left behind" [ "$(client "$aws" uploads delivered | wc -l)" == 1 ]
    claim "parts: starts again" serve
    claim "parts: things go well again" mend big
    claim "parts: everything arrives" within 60 shows big delivered=16000 queued=0
    claim "parts: no upload is left behind" within 20 eval 'client "$aws" uploads delivered >"$work/uploads.txt" && [[ ! -s $work/uploads.txt ]]'
    ends
    claim "parts: what arrived is what was sent, in order" arrived big parts "$work/large.rw" 8
    claim "parts: nothing came twice" [ "$(found repeats big)" == 0 ]
fi

# --- locations --------------------------------------------------------------------------------------

# The bucket is in another region, reported in two ways; a certificate is not trusted.
if [[ " ${all[*]} " == *" zst "* ]]; then
    region=us-east-2
    fault gz region '"region": "eu-west-1"'
    fault zst region '"region": "eu-west-1", "status": 301'
    {
        entries region gz zst
        entry zst secure 'access_key: S3RVER' 'secret_key: S3RVER' | sed "s/name: zst/name: secure/; s|http://.*|https://127.0.0.1:${port[secure]}|"
    } | write_config
    region=eu-west-1
    it=where
    claim "where: starts" serve
    takes bits
    for name in gz zst; do
        claim "where: $name: the bucket's own region is taken" within 20 has_delivered "$name" 19
        claim "where: $name: calls are signed for it" told "$name" '.regions == ["us-east-2", "eu-west-1"] or .regions == ["eu-west-1", "us-east-2"]'
    done
    claim "where: a certificate without trust blocks" within 20 is_in_state secure blocked
    claim "where: nothing was sent there" told secure '.calls == 0'
    sed -i "s|^  - name: secure|&\n    tls_config: {ca_file: $work/proxy.pem}|" "$work/firekeep.yml"
    claim "where: a reload names who vouches for it" reload
    claim "where: then all is delivered" within 20 has_delivered secure 19
    ends
    for name in gz zst; do
        claim "where: $name: what arrived is what was sent" arrived "$name" region "$work/bits.rw" 1 --any-order
        mend "$name"
    done
    secure_arrived() {
        client "$s3" bucket metrics secure-zst/ | python3 tests/tools/aws_content.py --any-order "$work/secure.rw" &&
            "$TOOLS/rrcompare" "$work/bits.rw" "$work/secure.rw" "${whole[@]}"
    }
    claim "where: secure: what arrived is what was sent" secure_arrived
fi

done_testing
