# shellcheck shell=bash disable=SC2034,SC2154
# trust.sh - measures what TLS and signing in cost a server. Ratios are of one run: samples are sent
# in clear text and over TLS in turn, to the same server.
#
#   samples-N     over N connections: CPU per million samples, in clear text and over TLS 1.3
#   handshakes    full ones and resumed ones (P-256), with a request each: each per CPU second
#   idle          resident memory per connection that waits for a request
#   passwords     USERS users with bcrypt passwords, each a client: the first request of each, whose
#                 password is hashed, then REQUESTS further ones. Each step of COST doubles the time of
#                 a hash; 10 is that of Prometheus' documents, and takes most of a minute for 1,000
#                 users, because one thread hashes
#   tokens        the further ones with one token
#   signatures    what is verified per CPU second: SigV4, and JSON Web Tokens (sigv4_bench, jwt_bench)

trust_about() {
    echo "TLS and signing in; cases: what is measured"
}

trust_load() {
    unfit=(prometheus prometheus3 victoriametrics)
    sizes series 100000 20000
    sizes scrapes 48 16
    sizes users 1000 100
    sizes cost 6 6
    sizes requests 20 5
    sizes handshakes 3000 300
    cases=(samples-1 samples-16 handshakes idle passwords tokens signatures)
    [[ -z ${CASES-} ]] || read -ra cases <<<"$CASES"
}

# SHA-256 of "abc".
trust_token=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad

trust_configure() {
    local key=$work/trust.key
    [[ -s $key ]] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -keyout "$key" -out "$work/trust.pem" 2>/dev/null || give_up "no certificate"
    tls_port=$(free_ports 1)
    {
        printf 'listeners: [{address: "127.0.0.1:%s", tls_server_config: {cert_file: trust.pem, key_file: trust.key}}]\n' "$tls_port"
        case $case in
        passwords) echo users: && "$BUILD/bench/knock" --list --users "$users" --cost "$cost" ;;
        tokens) printf 'users: [{name: a, tokens: [%s], permissions: [read, write, metrics]}]\n' "$trust_token" ;;
        esac
    } >"$work/trust.yml"
    flags=("--config.file=$work/trust.yml")
}

# Runs clients and notes the requests per CPU second of the server.
trust_knock() { # KEY ARGUMENT...
    local key=$1
    shift
    mark begin
    "$BUILD/bench/knock" "$@" >"$work/knock" || give_up "$key: clients fail"
    mark end
    note "${key}_per_cpu_s" "$(calc "$(value_of requests <"$work/knock") / ($(cpu_between begin end) + 1e-9)" %.0f)"
    note "${key}_seconds" "$(value_of seconds <"$work/knock")"
    note "${key}_max_s" "$(value_of max_seconds <"$work/knock")"
    note "${key}_cpu_s" "$(cpu_between begin end)"
    note "${key}_503" "$(awk -F= '$1 == "status_503" { n = $2 } END { print n + 0 }' "$work/knock")"
}

trust_samples() {
    local block blocks=4 per clear_s=0 tls_s=0 clear=0 tls=0
    per=$((scrapes / (2 * blocks)))
    connections=${case#samples-}
    send 0 1 # creates the series
    settle 3
    for ((block = 0; block < blocks; block++)); do
        mark a
        send $((1 + 2 * block * per)) "$per"
        clear=$((clear + samples))
        mark b
        url=https://localhost:$tls_port send $((1 + (2 * block + 1) * per)) "$per"
        tls=$((tls + samples))
        mark c
        clear_s=$(calc "$clear_s + $(cpu_between a b)")
        tls_s=$(calc "$tls_s + $(cpu_between b c)")
    done
    note clear_cpu_s_per_million "$(calc "$clear_s / $clear * 1e6")"
    note tls_cpu_s_per_million "$(calc "$tls_s / $tls * 1e6")"
    note tls_ratio "$(calc "($tls_s / $tls) / ($clear_s / $clear)" %.3f)"
}

trust_idle() { # KEY URL COUNT
    local before
    settle 1
    before=$(memory_kib VmRSS)
    mkfifo "$work/hold"
    "$BUILD/bench/knock" "$2" --clients "$3" --hold <"$work/hold" >"$work/knock" &
    local clients=$!
    exec {hold}>"$work/hold"
    within 60 grep -q '^status_200' "$work/knock" || give_up "clients fail"
    settle 1
    note "$1" "$(calc "($(memory_kib VmRSS) - $before) / $3" %.1f)"
    exec {hold}>&-
    wait "$clients"
    rm "$work/hold"
}

# Runs a measuring program and notes the last word of the lines that begin with these words.
trust_verify() { # PROGRAM [KEY WORDS]...
    local program=$1
    shift
    "$BUILD/bench/$program" >"$work/verified" || give_up "$program fails"
    while (($# > 0)); do
        note "$1" "$(sed -n "s|^$2 .* \([0-9]*\)/s$|\1|p" "$work/verified")"
        shift 2
    done
}

trust_signatures() {
    trust_verify sigv4_bench sigv4_query_per_cpu_s 'GET  /api/v1/query' sigv4_write_per_cpu_s '.* 20480 bytes'
    trust_verify jwt_bench rs256_per_cpu_s RS256 es256_per_cpu_s ES256 eddsa_per_cpu_s Ed25519
}

trust_turn() {
    [[ $case != signatures ]] || {
        trust_signatures
        return
    }
    local tls_port open=http://127.0.0.1:$port hold
    trust_configure
    start_server "$name"
    settle 2
    local tls=https://localhost:$tls_port
    case $case in
    samples-*) trust_samples ;;
    handshakes)
        trust_knock connections "$open" --clients 4 --requests $((handshakes / 4)) --new
        trust_knock full "$tls" --clients 4 --requests $((handshakes / 4)) --new
        trust_knock resumed "$tls" --clients 4 --requests $((handshakes / 4)) --resume
        note resumed_share "$(calc "$(value_of resumed <"$work/knock") / $(value_of requests <"$work/knock")" %.2f)"
        ;;
    idle)
        trust_idle clear_kib "$open" 500
        trust_idle tls_kib "$tls" 500
        ;;
    passwords)
        trust_knock first "$open/api/v1/status/buildinfo" --clients "$users" --users "$users"
        note first_ms "$(calc "$(cpu_between begin end) / $users * 1000" %.2f)"
        trust_knock later "$open/api/v1/status/buildinfo" --clients "$users" --users "$users" --requests "$requests"
        note later_us "$(calc "$(cpu_between begin end) / ($users * $requests) * 1e6" %.1f)"
        ;;
    tokens) trust_knock token "$open/api/v1/status/buildinfo" --clients 16 --requests $((users * requests / 16)) --authorization 'Bearer abc' ;;
    esac
    finish
}

trust_rows() {
    cat <<'END'
clear_cpu_s_per_million|CPU s per million samples, clear|%.4f
tls_cpu_s_per_million|  over TLS|%.4f
tls_ratio|  ratio|%.3f
connections_per_cpu_s|connections/CPU s, in clear text|%d
full_per_cpu_s|  with a full handshake|%d
resumed_per_cpu_s|  with a resumed one|%d
resumed_share|  share that was resumed|%.2f
clear_kib|KiB per idle connection, clear text|%.1f
tls_kib|  TLS|%.1f
first_cpu_s|CPU s of the first requests, with hashing|%.1f
first_ms|  CPU ms of each|%.2f
first_seconds|  seconds until all are answered|%.1f
first_503|  refused with 503 and repeated|%d
later_per_cpu_s|requests with a known password/CPU s|%d
later_us|  CPU us of each|%.1f
later_max_s|  slowest, s|%.3f
later_503|  refused with 503|%d
token_per_cpu_s|requests with a token/CPU s|%d
sigv4_query_per_cpu_s|signatures (SigV4)/CPU s, of a query|%d
sigv4_write_per_cpu_s|  of a write of 20 KiB|%d
rs256_per_cpu_s|tokens (JWT)/CPU s, RS256|%d
es256_per_cpu_s|  ES256|%d
eddsa_per_cpu_s|  EdDSA (Ed25519)|%d
peak_rss_mib|peak RSS, MiB|%.0f
END
}
