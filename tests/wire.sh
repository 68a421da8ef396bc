# shellcheck shell=bash disable=SC2154 # `work` and `url` are the caller's
# wire.sh - sourced, after lib.sh, by tests that send what no real sender does: protobuf and snappy
# made of hex digits, requests by curl. `url` is the server's. Functions that make bytes print hex.
#
#   varint N    field_int FIELD N    field_double FIELD NUMBER    field FIELD HEX
#   field_text FIELD TEXT    packed FIELD N...
#   snappy HEX                a block of literals only
#   body HEX                  into $work/request
#   send PATH [CURL-ARGUMENT...]   POSTs $work/request; sets status, leaves $work/head, $work/answer
#   send_1, send_2 HEX [CURL-ARGUMENT...]   a message as remote write 1.0 or 2.0
#   status_is STATUS [PATTERN]     of the last answer and, if given, of its body
#   header NAME               of the last answer
#   read_queries N METRIC     a streamed read of everything the metric has, N times over
#   stall_reads N QUERIES METRIC   N connections that send this and read nothing until stall_ends
#   metric PATTERN            the sum of the metrics whose names (and labels) match
#   trace                     effects that a write request could have had
#   capture HEX FILE          the message as a capture, for rrcompare

# Functions that begin with _ return their result in `made`, as each $(...) is a process.

_text_hex() {
    local LC_ALL=C i byte # by bytes
    made=
    for ((i = 0; i < ${#1}; i++)); do
        printf -v byte %02x "'${1:i:1}"
        made+=$byte
    done
}

text_hex() {
    local made
    _text_hex "$1"
    printf %s "$made"
}

_varint() {
    local n=$1
    made=
    while ((n > 127 || n < 0)); do
        printf -v made '%s%02x' "$made" $((n & 127 | 128))
        n=$((n >> 7 & 0x1ffffffffffffff))
    done
    printf -v made '%s%02x' "$made" "$n"
}

varint() {
    local made
    _varint "$1"
    printf %s "$made"
}

field() {
    local made tag
    _varint $(($1 << 3 | 2))
    tag=$made
    _varint $((${#2} / 2))
    printf %s "$tag$made$2"
}

_field_int() {
    local tag
    _varint $(($1 << 3))
    tag=$made
    _varint "$2"
    made=$tag$made
}

field_int() {
    local made
    _field_int "$@"
    printf %s "$made"
}

field_text() {
    local made
    _text_hex "$2"
    field "$1" "$made"
}

# Small whole numbers, or the 16 digits of the bits as one writes them.
_field_double() {
    local bits=$2 n=${2#-} exponent=0 at
    if [[ ${#bits} != 16 ]]; then
        while ((n >> exponent > 1)); do exponent=$((exponent + 1)); done
        printf -v bits %016x $((n == 0 ? 0 : (exponent + 1023) << 52 | (n << 52 - exponent) & ~(-1 << 52)))
        [[ $2 != -* ]] || printf -v bits %016x $((0x$bits | 1 << 63))
    fi
    _varint $(($1 << 3 | 1))
    for at in 14 12 10 8 6 4 2 0; do
        made+=${bits:at:2}
    done
}

field_double() {
    local made
    _field_double "$@"
    printf %s "$made"
}

packed() {
    local number=$1 hex='' made n
    shift
    for n; do
        _varint "$n"
        hex+=$made
    done
    field "$number" "$hex"
}

snappy() {
    local size=$((${#1} / 2)) tag='' made
    if ((size == 0)); then
        printf 00
        return
    fi
    if ((size <= 60)); then
        printf -v tag %02x $((size - 1 << 2))
    else
        printf -v tag f4%02x%02x $((size - 1 & 255)) $((size - 1 >> 8))
    fi
    _varint "$size"
    printf %s "$made$tag$1"
}

from_hex() {
    local LC_ALL=C at piece
    for ((at = 0; at < ${#1}; at += 4000)); do # the time of a replacement grows with the square
        piece=${1:at:4000}
        # shellcheck disable=SC2059 # the format is the data
        printf "${piece//??/\\x&}"
    done
}

body() {
    from_hex "$1" >"$work/request"
}

capture() {
    local block size
    block=$(snappy "$1")
    printf -v size %08x $((${#block} / 2))
    from_hex "${size:6:2}${size:4:2}${size:2:2}${size:0:2}$block" >"$2"
}

send() {
    local path=$1
    shift
    exchange POST "$work/request" "$path" -H Expect: -H Content-Type: "$@" ||
        status=$(curl -s --noproxy '*' --max-time 30 -o "$work/answer" -D "$work/head" \
            -w '%{http_code}' -H Expect: -H Content-Type: --data-binary "@$work/request" "$@" \
            "$url$path")
}

# exchange METHOD FILE PATH [CURL-ARGUMENT...]: with a program that starts faster than curl; false
# if that cannot send it.
exchange() {
    local method=$1 file=$2 path=$3 headers=()
    shift 3
    while (($# > 0)); do
        [[ $1 == -H && ! $2 =~ ^(Expect|Transfer-Encoding):. ]] || return 1
        case $2 in
        *:) ;; # there is nothing to leave out
        *\;) headers+=("${2%;}:") ;; # empty
        *) headers+=("$2") ;;
        esac
        shift 2
    done
    : >"$work/answer"
    status=$("$TOOLS/get" --parts "$method" "$file" "$work/head" "$work/answer" "$url$path" "${headers[@]}")
    return 0
}

protobuf='Content-Type: application/x-protobuf'
protobuf_2="$protobuf;proto=io.prometheus.write.v2.Request"

send_1() {
    body "$(snappy "$1")"
    shift
    send /api/v1/write -H "$protobuf" -H 'Content-Encoding: snappy' "$@"
}

send_2() {
    body "$(snappy "$1")"
    shift
    send /api/v1/write -H "$protobuf_2" -H 'Content-Encoding: snappy' "$@"
}

status_is() {
    if [[ $status != "$1" ]]; then
        echo "status $status instead of $1: $(head -c 300 "$work/answer" | tr -cd '[:print:]')"
        return 1
    fi
    if [[ -n ${2-} ]] && ! grep -qi -- "$2" "$work/answer"; then
        echo "status $status, but no '$2' in: $(head -c 300 "$work/answer" | tr -cd '[:print:]')"
        return 1
    fi
}

header() {
    local made
    _header "$1"
    echo "$made"
}

_header() { # NAME
    local line
    made=
    while IFS= read -r line; do
        line=${line%$'\r'}
        [[ ${line,,} != "${1,,}:"* ]] || made=${line#*:} made=${made#"${made%%[! ]*}"}
    done <"$work/head"
}

# header_is NAME VALUE; an empty value: the header must not be there.
header_is() {
    local made
    _header "$1"
    [[ $made == "$2" ]] && return
    echo "$1 is '$made' instead of '$2'"
    return 1
}

written_is() { # SAMPLES HISTOGRAMS EXEMPLARS
    header_is X-Prometheus-Remote-Write-Samples-Written "$1" &&
        header_is X-Prometheus-Remote-Write-Histograms-Written "$2" &&
        header_is X-Prometheus-Remote-Write-Exemplars-Written "$3"
}

metrics() {
    "$TOOLS/get" "$url/metrics"
}

metric() {
    metrics | awk -v name="^$1([{ ]|\$)" '$0 ~ name { sum += $NF } END { printf "%.0f\n", sum }'
}

metric_is() { # PATTERN VALUE
    local got
    got=$(metric "$1")
    [[ $got == "$2" ]] && return
    echo "$1 is $got instead of $2"
    return 1
}

trace() {
    metrics | grep -E '^firekeep_(samples_[a-z_]*(stored|pending|_total)|head_(series|samples))[{ ]'
}

leaves_no_trace() { # COMMAND...
    local before
    before=$(trace)
    "$@" || return 1
    diff <(echo "$before") <(trace)
}

read_queries() {
    local one hex
    one=$(field 1 "$(field_int 1 0)$(field_int 2 4102444800000)$(
    )$(field 3 "$(field_text 2 __name__)$(field_text 3 "$2")")")
    printf -v hex '%*s' "$1" ''
    printf %s "${hex// /$one}$(packed 2 1)"
}

stalled_fds=()
stall_reads() {
    local fd i
    body "$(snappy "$(read_queries "$2" "$3")")"
    for ((i = 0; i < $1; i++)); do
        exec {fd}<>"/dev/tcp/127.0.0.1/${url##*:}" || return 1
        stalled_fds+=("$fd")
        {
            printf 'POST /api/v1/read HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: snappy\r\n'
            printf 'Content-Length: %d\r\n\r\n' "$(stat -c %s "$work/request")"
            cat "$work/request"
        } >&"$fd"
    done
}

stall_ends() {
    local fd
    for fd in "${stalled_fds[@]}"; do
        exec {fd}>&-
    done
    stalled_fds=()
}
