#!/bin/bash
# receiver.sh - the requirements of the remote write 2.0 specification on receivers (and those of
# 1.0 that 2.0 lacks) by requests to a server. The messages are made here, byte by byte; tools that
# decode with protobuf-c compare the stored samples. What a message may look like in detail is in
# the unit tests of src/wire/remote.

. tests/lib.sh
. tests/wire.sh
port=$(free_ports 1)
url=http://127.0.0.1:$port
t=1700000000000

# --- messages of 2.0 ---

field_sint() {
    field_int "$1" $(($2 << 1 ^ $2 >> 63))
}

symbols() {
    local text
    for text; do
        field_text 4 "$text"
    done
}

# Every message has these: 1 2 is the name, 3 4 5 6 are two labels.
names() { # METRIC
    symbols '' __name__ "$1" job a zone b
}

sample() { # VALUE T [START]
    local made hex
    _field_double 1 "$1"
    hex=$made
    _field_int 2 "$2"
    hex+=$made
    [[ -z ${3-} ]] || {
        _field_int 3 "$3"
        hex+=$made
    }
    field 2 "$hex"
}

exemplar() { # VALUE T REFERENCE...
    local value=$1 t_ms=$2
    shift 2
    field 4 "$(packed 1 "$@")$(field_double 2 "$value")$(field_int 3 "$t_ms")"
}

series() { # HEX... within one series, labels first
    local hex=
    printf -v hex %s "$@"
    field 5 "$hex"
}

labels=$(packed 1 1 2 3 4)

# buckets FIELDS-OF-SPANS-AND-COUNTS SCHEMA T: count 5, sum 12, one bucket each of 2 and 3.
span() { # FIELD OFFSET LENGTH
    field "$1" "$(field_sint 1 "$2")$(field_int 2 "$3")"
}

deltas() { # FIELD DELTA...
    local number=$1 hex='' n
    shift
    for n; do
        hex+=$(varint $((n << 1 ^ n >> 63)))
    done
    field "$number" "$hex"
}

histogram_int() { # T COUNT [SCHEMA]
    field 3 "$(field_int 1 "$2")$(field_double 3 12)$(field_sint 4 "${3:-2}")$(field_double 5 0)$(
    )$(field_int 6 0)$(span 11 1 2)$(deltas 12 2 1)$(field_int 14 2)$(field_int 15 "$1")"
}

# --- claims ---

reads_back() { # METRIC HEX: Firekeep has exactly the message's samples of this metric
    capture "$2" "$work/$1.rw"
    "$TOOLS/rrcompare" "$url" "$work/$1.rw" --start 0 --end 4102444800000 \
        --match "{__name__=\"$1\"}"
}

# stores METRIC SAMPLES HISTOGRAMS EXEMPLARS HEX-AFTER-THE-SYMBOLS
stores() {
    local message
    message=$(names "$1")$5
    send_2 "$message"
    status_is 204 && written_is "$2" "$3" "$4" && [[ ! -s $work/answer ]] && reads_back "$1" "$message"
}

# refuses METRIC REASON HEX: all of it is refused and has no effect; the sender must not repeat it.
refuses_now() {
    send_2 "$(names "$1")$3"
    status_is 400 "$2" && written_is 0 0 0
}

refuses() {
    refuses_now "$@" && reads_back "$1" "$(names "$1")"
}

# A valid series next to the bad one is stored, and the answer has the number of its samples.
stores_the_rest() { # METRIC REASON BAD-HEX
    local good
    good=$(series "$labels" "$(sample 1 $t)")
    send_2 "$(names "$1")$3$good"
    status_is 400 "$2" && written_is 1 0 0 && reads_back "$1" "$(names "$1")$good"
}

malformed() { # HEX: nothing is stored, and senders do not repeat it
    leaves_no_trace malformed_now "$1"
}

malformed_now() {
    send_2 "$1"
    status_is 400 && written_is 0 0 0 && [[ -s $work/answer ]]
}

answers=0
answer_to() { # STATUS SAMPLES-WRITTEN CURL-ARGUMENT...: of one sample, with these headers
    local want=$1 written=$2
    shift 2
    body "$(snappy "$(names headers)$(series "$labels" "$(sample 1 $((t + answers++)))")")"
    send /api/v1/write "$@"
    status_is "$want" && header_is X-Prometheus-Remote-Write-Samples-Written "$written"
}

content_types() {
    local type=application/x-protobuf message=io.prometheus.write.v2.Request written
    claim "the 2.0 message is taken" answer_to 204 1 -H "Content-Type: $type;proto=$message"
    for written in "$type ; proto=$message" "Application/X-Protobuf;Proto=$message" "$type;proto=\"$message\"" \
        "$type;charset=utf-8;proto=$message"; do
        claim "the 2.0 message is taken as $written" answer_to 204 1 -H "Content-Type: $written"
    done
    claim "the version header does not decide" answer_to 204 1 \
        -H "Content-Type: $type;proto=$message" -H 'X-Prometheus-Remote-Write-Version: 0.1.0'
    claim "without a content encoding it is snappy" answer_to 204 1 \
        -H "Content-Type: $type;proto=$message" -H 'Content-Encoding:'
    claim "an unknown message gets 415" answer_to 415 '' \
        -H "Content-Type: $type;proto=io.prometheus.write.v3.Request"
    claim "an unknown content type gets 415" answer_to 415 '' -H 'Content-Type: application/json'
    claim "an unknown content encoding gets 415, with what was written" answer_to 415 0 \
        -H "Content-Type: $type;proto=$message" -H 'Content-Encoding: gzip'
    claim "what got 415 is not stored" leaves_no_trace answer_to 415 0 \
        -H "Content-Type: $type;proto=$message" -H 'Content-Encoding: zstd'
}

whole_requests() {
    claim "a sample is stored: 204, an empty body, and counted" stores float 1 0 0 \
        "$(series "$labels" "$(sample 1 $t)")"
    claim "several series and samples are counted" stores several 5 0 0 \
        "$(series "$labels" "$(sample 1 $t)" "$(sample 2 $((t + 1)))")$(
        )$(series "$(packed 1 1 2)" "$(sample 3 $t)" "$(sample -4 $((t + 1)))" "$(sample 0 $((t + 2)))")"
    claim "the same again is success and stored once" stores float 1 0 0 \
        "$(series "$labels" "$(sample 1 $t)")"
    claim "samples may come in any order" stores disorder 3 0 0 \
        "$(series "$labels" "$(sample 3 $((t + 9)))" "$(sample 1 $t)" "$(sample 2 $((t + 5)))")"
    claim "a time before retention is refused, the rest stored" stores_the_rest ancient too_old \
        "$(series "$(packed 1 1 2)" "$(sample 1 1000)")"
    claim "the staleness marker keeps its bits" stores stale 1 0 0 \
        "$(series "$labels" "$(sample 7ff0000000000002 $t)")"
    claim "an empty message is success" stores nothing 0 0 0 ''
    claim "a series without symbols after the first is refused" refuses unnamed '' \
        "$(series "" "$(sample 1 $t)")"
    claim "a 1.0 message called 2.0 stores nothing and says so" version_mixed
    claim "symbols may be UTF-8" stores "µ-metric.with.dots" 1 0 0 \
        "$(series "$labels" "$(sample 1 $t)")"
}

message_1() { # METRIC VALUE T
    field 1 "$(field 1 "$(field_text 1 __name__)$(field_text 2 "$1")")$(
    )$(field 2 "$(field_double 1 "$2")$(field_int 2 "$3")")"
}

version_mixed() {
    send_2 "$(message_1 mixed 1 $t)"
    written_is 0 0 0 && reads_back mixed ''
}

histograms() {
    claim "an integer histogram" stores h_int 0 1 0 \
        "$(series "$labels" "$(histogram_int $t 5)")"
    claim "samples, histograms and exemplars are counted apart" stores h_mixed 1 2 1 \
        "$(series "$labels" "$(sample 1 $t)")$(
        )$(series "$(packed 1 1 2)" "$(histogram_int $t 5)" "$(histogram_int $((t + 1)) 5)" "$(exemplar 1 $t 3 4)")"
    claim "a count below its buckets is refused, the rest stored" stores_the_rest h_count histogram \
        "$(series "$(packed 1 1 2)" "$(histogram_int $t 4)")"
}

series_rules() {
    claim "an odd number of references is refused, the rest stored" stores_the_rest l_odd '' \
        "$(series "$(packed 1 1 2 3)" "$(sample 1 $t)")"
    claim "a label twice is refused, the rest stored" stores_the_rest l_twice '' \
        "$(series "$(packed 1 1 2 3 4 3 6)" "$(sample 1 $t)")"
    claim "a time far in the future is refused, the rest stored" stores_the_rest future future \
        "$(series "$(packed 1 1 2)" "$(sample 1 4102444800000)")"
    claim "another value at a time that has one is refused" conflict
    claim "the answer to several refusals is short" many_refused
}

conflict() {
    local first
    first=$(names twofold)$(series "$labels" "$(sample 1 $t)")
    send_2 "$first"
    status_is 204 || return 1
    send_2 "$(names twofold)$(series "$labels" "$(sample 2 $t)")"
    status_is 400 'twofold' && written_is 0 0 0 && reads_back twofold "$first"
}

many_refused() {
    local hex='' i
    for ((i = 0; i < 300; i++)); do
        hex+=$(sample 1 $((4102444800000 + i)))
    done
    send_2 "$(names many)$(series "$labels" "$hex")"
    status_is 400 many && (($(wc -c <"$work/answer") < 2048)) && header_is Content-Type 'text/plain; charset=utf-8'
}

exemplars_and_metadata() {
    claim "an exemplar beside a sample" stores x_sample 1 0 1 \
        "$(series "$labels" "$(sample 1 $t)" "$(exemplar 1 $t 3 6)")"
    claim "exemplars alone are taken" stores_exemplars_alone
    claim "an exemplar with a reference beyond the symbols is refused, the rest stored" \
        exemplar_malformed x_beyond 3 99
    claim "an exemplar with an odd number of references is refused, the rest stored" \
        exemplar_malformed x_odd 3
    claim "1.0: an exemplar of the far future is refused, its sample stored with success" \
        exemplar_refused_1_0
    claim "refused exemplars are in the ledger" exemplars_counted
    claim "metadata of a series is kept" metadata_kept
    claim "an empty metadata message changes no type" empty_metadata
    claim "metadata with a reference beyond the symbols is refused, its sample stored" metadata_beyond
}

stores_exemplars_alone() {
    send_2 "$(names x_alone)$(series "$labels" "$(exemplar 1 $t 3 6)")"
    status_is 204 && written_is 0 0 1
}

exemplar_malformed() { # NAME REFERENCE...
    local labels_and_sample
    labels_and_sample=$labels$(sample 1 $t)
    send_2 "$(names "$1")$(series "$labels_and_sample" "$(exemplar 1 $t "${@:2}")" "$(exemplar 2 $t 3 6)")"
    status_is 400 bad_reference && written_is 1 0 1 &&
        reads_back "$1" "$(names "$1")$(series "$labels_and_sample")"
}

exemplar_refused_1_0() {
    local plain
    plain=$(message_1 x_one 1 $t)
    send_1 "$(field 1 "${plain:4}$(field 3 "$(field_double 2 1)$(field_int 3 4102444800000)")")"
    status_is 204 && [[ ! -s $work/answer ]] && reads_back x_one "$plain"
}

exemplars_counted() {
    local counted
    counted=$(metrics | grep '^firekeep_samples_rejected_total{.*kind="exemplar"')
    echo "$counted"
    [[ $counted == *'reason="bad_reference"} 2'* && $counted == *'reason="too_far_in_future"} 1'* ]]
}

metadata_kept() {
    send_2 "$(names m_kept)$(symbols 'What it says.' bytes)$(series "$labels" "$(sample 1 $t)" \
        "$(field 5 "$(field_int 1 1)$(field_int 3 7)$(field_int 4 8)")")"
    status_is 204 && written_is 1 0 0 || return 1
    [[ $(curl -s --noproxy '*' "$url/api/v1/metadata?metric=m_kept" | jq -c .data) == \
        '{"m_kept":[{"type":"counter","help":"What it says.","unit":"bytes"}]}' ]] ||
        curl -s --noproxy '*' "$url/api/v1/metadata?metric=m_kept"
}

empty_metadata() {
    send_2 "$(names m_kept)$(series "$labels" "$(sample 2 $((t + 1)))" "$(field 5 "$(field_int 1 0)")")"
    status_is 204 && [[ $(curl -s --noproxy '*' "$url/api/v1/metadata?metric=m_kept" | jq -r '.data.m_kept[].type') == counter ]]
}

metadata_beyond() {
    local plain
    plain=$(series "$labels" "$(sample 1 $t)")
    send_2 "$(names m_beyond)$(series "$labels" "$(sample 1 $t)" "$(field 5 "$(field_int 1 1)$(field_int 3 99)")")"
    status_is 400 && written_is 1 0 0 && reads_back m_beyond "$(names m_beyond)$plain" &&
        grep -q '; bad_reference: metadata of family="m_beyond"' "$work/answer"
}

broken_messages() {
    claim "a length beyond the message is malformed" malformed "$(names broken)2aff01"
    claim "plain text is malformed" malformed "$(text_hex 'Hello, receiver')"
    claim "a good series before the damage is not stored" malformed \
        "$(names broken)$(series "$labels" "$(sample 1 $t)")2aff"
}

version_1() {
    local message
    message=$(message_1 one 1 $t)
    claim "1.0 is still taken: 204 and no Written headers" one_0_0 "$message"
    claim "1.0 without any header but the length is taken" bare_1_0 "$message"
    claim "metadata of 1.0 is kept" metadata_1_0
    claim "a malformed 1.0 message gets 400" leaves_no_trace malformed_1_0
}

one_0_0() {
    send_1 "$1"
    status_is 204 && header_is X-Prometheus-Remote-Write-Samples-Written '' && reads_back one "$1"
}

bare_1_0() {
    body "$(snappy "$(message_1 bare 1 $t)")"
    send /api/v1/write
    status_is 204 && reads_back bare "$(message_1 bare 1 $t)"
}

metadata_1_0() {
    send_1 "$(field 3 "$(field_int 1 2)$(field_text 2 m_one)$(field_text 4 Help.)$(field_text 5 s)")"
    status_is 204 && [[ $(curl -s --noproxy '*' "$url/api/v1/metadata?metric=m_one" | jq -c .data) == \
        '{"m_one":[{"type":"gauge","help":"Help.","unit":"s"}]}' ]]
}

malformed_1_0() {
    send_1 0aff
    status_is 400
}

claim "starts" start_firekeep firekeep "$work/data" "$port" || exit 1
content_types
whole_requests
histograms
series_rules
exemplars_and_metadata
broken_messages
version_1
claim "SIGTERM ends it with status 0" stop firekeep
claim "verify finds nothing wrong" build/firekeep verify "$work/data"
done_testing
