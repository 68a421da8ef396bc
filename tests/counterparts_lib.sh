# shellcheck shell=bash disable=SC2034,SC2154
# counterparts_lib.sh - sourced by tests of destinations, instead of destinations_lib.sh: starts their
# counterparts, with doubles/fault_proxy.py before them, and reads the data that arrived there. A
# destination is named after its type: ndjson, packed, kpl (Kinesis: kinesalite); plain, gzipped
# (Firehose: moto); gz, zst, big (S3: s3rver, big: moto); timestream (doubles/timestream.py);
# clickhouse (ClickHouse 18.16); influxdb, opentsdb (InfluxDB 1.6 and its listener for OpenTSDB);
# twin (remote write: another Firekeep). The caller sets `work` and `region`, and calls name_ports
# with `firekeep control` and with the destinations and counterparts that it starts.

# shellcheck source=tests/destinations_lib.sh
[[ -n ${whole-} ]] || . tests/destinations_lib.sh

npm=$PEERS/npm
moto=$PEERS/python3-moto/usr/lib/python3/dist-packages
# The caller's environment must name neither AWS services nor credentials.
unset "${!AWS_@}" http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
export AWS_EC2_METADATA_DISABLED=true HOME=$work

declare -A port=()
name_ports() { # NAME...
    local found name at=0
    mapfile -t found < <(free_ports $#)
    for name; do
        port[$name]=${found[at++]}
    done
    url=http://127.0.0.1:${port[firekeep]}
    control=http://127.0.0.1:${port[control]}
}

url_of() { # COUNTERPART
    echo "http://127.0.0.1:${port[$1]}"
}

has() { # COUNTERPART
    case $1 in
    kinesis | s3) [[ -d $npm/node_modules ]] && command -v node >/dev/null ;;
    moto) [[ -d $moto/moto ]] ;;
    clickhouse) command -v clickhouse-server >/dev/null ;;
    influxd) command -v influxd >/dev/null ;;
    radosgw) command -v radosgw >/dev/null && command -v ceph-mon >/dev/null && command -v ceph-osd >/dev/null ;;
    esac
}

can_read_aws() {
    /usr/bin/python3 -c 'import botocore' 2>/dev/null && command -v zstd >/dev/null
}

kind_of() { # DESTINATION
    case $1 in
    ndjson | packed | kpl) echo kinesis ;;
    plain | gzipped) echo firehose ;;
    gz | zst | big) echo s3 ;;
    twin) echo remote_write ;;
    *) echo "$1" ;;
    esac
}

# --- they start -------------------------------------------------------------------------------------

answers() { # NAME URL: anything at all
    is_running "$1" && curl -s -o /dev/null --noproxy '*' --max-time 5 "$2"
}

start_kinesis() {
    start kinesis node "$npm/node_modules/kinesalite/cli.js" --port "${port[kinesis]}" --path "$work/kinesis" --createStreamMs 0 --updateStreamMs 0 --shardLimit 100
    within 20 answers kinesis "$(url_of kinesis)"
}

start_s3() {
    mkdir -p "$work/s3"
    start s3 node "$npm/node_modules/s3rver/bin/s3rver.js" --address 127.0.0.1 --port "${port[s3]}" --directory "$work/s3" --silent --no-vhost-buckets
    within 20 answers s3 "$(url_of s3)"
}

# It keeps everything in memory. With RECORDING, a file, the same requests are sent again after
# SIGKILL, which restores its content if no other client used it.
start_moto() { # [RECORDING]
    local recording=()
    if (($# > 0)); then
        recording=(MOTO_ENABLE_RECORDING=1 "MOTO_RECORDER_FILEPATH=$1")
        # Its threads write at the same time, and may be killed while they do: line ends are where they like, and the last
        # object is perhaps none.
        [[ ! -f $1 ]] || { jq -c . "$1" >"$1.whole" 2>"$1.torn"; mv "$1.whole" "$1"; }
    fi
    start moto env "PYTHONPATH=$moto" "${recording[@]}" /usr/bin/python3 -m moto.server --host 127.0.0.1 --port "${port[moto]}"
    within 20 answers moto "$(url_of moto)/moto-api/" || return 1
    (($# == 0)) || [[ ! -s $1 ]] || quiet_curl --max-time 300 -X POST "$(url_of moto)/moto-api/recorder/replay-recording" -d ''
}

# Ceph's dialect of S3, on a cluster of one monitor and one store of objects in memory.
start_radosgw() {
    local dir=$work/ceph entity
    mkdir -p "$dir/radosgw"
    cat >"$dir/ceph.conf" <<END
[global]
  fsid = 00000000-0000-4000-8000-000000000001
  mon_host = v2:127.0.0.1:${port[ceph]}
  public_addr = 127.0.0.1
  mon_data = $dir/mon
  osd_data = $dir/osd
  rgw_data = $dir/radosgw
  keyring = $dir/keyring
  run_dir = $dir
  crash_dir = $dir
  log_file = $dir/log
  mon_cluster_log_file = $dir/cluster.log
  admin_socket =
  osd_objectstore = memstore
  mon_allow_pool_size_one = true
  osd_pool_default_size = 1
  osd_pool_default_pg_num = 1
  osd_pool_default_pg_autoscale_mode = off
  osd_crush_chooseleaf_type = 0
  rgw_relaxed_region_enforcement = true
  rgw_frontends = beast endpoint=127.0.0.1:${port[radosgw]}
END
    export CEPH_CONF=$dir/ceph.conf
    for entity in mon. client.admin osd.0; do
        ceph-authtool -C "$dir/key" --gen-key -n "$entity" --cap mon 'allow *' --cap osd 'allow *' && cat "$dir/key" >>"$dir/keyring" || return 1
    done
    mkdir "$dir/mon" "$dir/osd" &&
        monmaptool --create --fsid 00000000-0000-4000-8000-000000000001 --addv a "[v2:127.0.0.1:${port[ceph]}]" "$dir/monmap" &&
        ceph-mon -i a --mkfs --monmap "$dir/monmap" --keyring "$dir/keyring" || return 1
    start ceph_mon ceph-mon -i a -f
    timeout 60 ceph osd new 00000000-0000-4000-8000-000000000002 0 &&
        ceph-osd -i 0 --mkfs --osd-uuid 00000000-0000-4000-8000-000000000002 || return 1
    start ceph_osd ceph-osd -i 0 -f
    timeout 60 ceph osd crush add osd.0 1 root=default || return 1
    start radosgw radosgw -n client.admin -f
    within 60 answers radosgw "$(url_of radosgw)" &&
        timeout 60 radosgw-admin user create --uid firekeep --display-name Firekeep --access-key S3RVER --secret-key S3RVER
}

start_timestream() { # ARGUMENT...
    start timestream python3 tests/doubles/timestream.py --port "${port[timestream_service]}" --region "$region" --table metrics.bits "$@"
    within 20 answers timestream "$(url_of timestream_service)/stats"
}

# With its listener for OpenTSDB, if that has a port.
start_influxd() {
    mkdir -p "$work/influxd"
    cat >"$work/influxd.conf" <<END
reporting-disabled = true
bind-address = "127.0.0.1:${port[influxd_meta]}"
[meta]
  dir = "$work/influxd/meta"
[data]
  dir = "$work/influxd/data"
  wal-dir = "$work/influxd/wal"
[http]
  bind-address = "127.0.0.1:${port[influxd]}"
[monitor]
  store-enabled = false
END
    [[ -z ${port[influxd_opentsdb]-} ]] || cat >>"$work/influxd.conf" <<END
[[opentsdb]]
  enabled = true
  bind-address = "127.0.0.1:${port[influxd_opentsdb]}"
  database = "opentsdb"
END
    start influxd influxd -config "$work/influxd.conf"
    wait_ready influxd "$(url_of influxd)/ping"
}

influx_query() { # QUERY [DATABASE]
    quiet_curl -X POST "$(url_of influxd)/query" --data-urlencode "q=$1" --data-urlencode "db=${2-}"
}

# Starts ClickHouse with two shards on itself, the databases one and two, as the cluster `pair`.
# Readers are the user `default`; `firekeep` has the password `hush`, and `guest` may only read.
start_clickhouse() {
    mkdir -p "$work/clickhouse/tmp"
    local shards
    shards=$(for name in one two; do
        echo "<shard><replica><host>127.0.0.1</host><port>${port[clickhouse_tcp]}</port><default_database>$name</default_database></replica></shard>"
    done)
    cat >"$work/clickhouse.xml" <<END
<yandex>
  <logger><level>warning</level><console>1</console></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>${port[clickhouse_server]}</http_port>
  <tcp_port>${port[clickhouse_tcp]}</tcp_port>
  <path>$work/clickhouse/</path>
  <tmp_path>$work/clickhouse/tmp/</tmp_path>
  <users_config>$work/clickhouse-users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <mark_cache_size>67108864</mark_cache_size>
  <remote_servers><pair>$shards</pair></remote_servers>
</yandex>
END
    cat >"$work/clickhouse-users.xml" <<END
<yandex>
  <profiles>
    <default><background_pool_size>4</background_pool_size></default>
    <reading><readonly>1</readonly></reading>
  </profiles>
  <quotas><default></default></quotas>
  <users>
    <default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default>
    <firekeep><password>hush</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></firekeep>
    <guest><password>hush</password><networks><ip>127.0.0.1</ip></networks><profile>reading</profile><quota>default</quota></guest>
  </users>
</yandex>
END
    start clickhouse clickhouse-server "--config-file=$work/clickhouse.xml"
    wait_ready clickhouse "$(url_of clickhouse_server)/ping"
}

clickhouse_query() { # QUERY
    quiet_curl --max-time 120 "$(url_of clickhouse_server)/" --data-binary "$1"
}

# A route is NAME=SERVICE:UPSTREAM; further arguments are for the proxy.
start_proxy() { # ROUTE... [-- ARGUMENT...]
    local route name rest routes=()
    while (($# > 0)) && [[ $1 != -- ]]; do
        route=$1 name=${route%%=*} rest=${route#*=}
        routes+=(--route "$name=${rest%:*}:${port[$name]}:${port[${rest##*:}]}")
        shift
    done
    (($# == 0)) || shift
    start proxy python3 tests/doubles/fault_proxy.py --port "${port[control]}" "${routes[@]}" "$@"
    within 10 answers proxy "$control/stats"
}

make_certificate() { # NAME SUBJECT ALTERNATIVE
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$2" -addext "subjectAltName=$3" \
        -keyout "$work/$1.key" -out "$work/$1.pem"
}

# --- things go wrong --------------------------------------------------------------------------------

fault() { # ROUTE KIND [MEMBERS]
    quiet_curl -o "$work/answer.txt" -X POST "$control/fault" -d "{\"route\": \"$1\", \"kind\": \"$2\"${3:+, $3}}"
}

fault_again() { # ROUTE KIND N [MEMBERS]: once at one of the next calls, and at each Nth
    fault "$1" "$2" "\"times\": 1${4:+, $4}" && fault "$1" "$2" "\"every\": $3${4:+, $4}"
}

mend() { # [ROUTE]: of all
    local which='{}'
    (($# == 0)) || which="{\"route\": \"$1\"}"
    quiet_curl -o "$work/answer.txt" -X POST "$control/clear" -d "$which"
}

told() { # ROUTE EXPRESSION: whether jq finds it true of the route
    quiet_curl "$control/stats" | jq -c ".[\"$1\"]" | tee "$work/told.json"
    jq -e "$2" "$work/told.json"
}

# --- destinations -----------------------------------------------------------------------------------

client() { # URL WHAT ARGUMENT...
    AWS_ACCESS_KEY_ID=S3RVER AWS_SECRET_ACCESS_KEY=S3RVER /usr/bin/python3 tests/tools/aws_client.py "$@"
}

# Prints an entry of the configuration, for the stream, bucket or table named after it.
entry() { # DESTINATION CALLED [LINE...]
    local name=$1 called=$2 kind endpoint=endpoint
    shift 2
    kind=$(kind_of "$name")
    printf '%s\n' "  - name: $name" "    type: $kind"
    case $kind in
    kinesis) printf '    %s\n' "stream: $called-$name" "format: $name" ;;
    # A call of this size has several records.
    firehose) printf '    %s\n' "delivery_stream: $called-$name" "compression: $([[ $name == gzipped ]] && echo gzip || echo none)" ;;
    s3) printf '    %s\n' 'bucket: metrics' "prefix: $called-$name/" 'path_style: true' 'roll_age: 1s' 'roll_bytes: 128KiB' \
        "compression: $([[ $name == gz ]] && echo gzip || echo zstd)" ;;
    timestream)
        printf '    %s\n' 'database: metrics' "table: $called"
        endpoint=write_endpoint
        ;;
    clickhouse)
        printf '    %s\n' "table: $called" 'basic_auth: {username: firekeep, password: hush}'
        endpoint=url
        ;;
    influxdb)
        printf '    %s\n' 'version: 1' 'database: influxdb'
        endpoint=url
        ;;
    opentsdb | remote_write) endpoint=url ;;
    esac
    [[ $endpoint == url ]] || echo "    region: $region"
    echo "    $endpoint: http://127.0.0.1:${port[$name]}$([[ $kind == remote_write ]] && echo /api/v1/write)"
    printf '    %s\n' "batch: {max_age: 100ms$([[ $name == plain ]] && echo ', max_bytes: 4MiB')}" 'retry: {min_backoff: 20ms, max_backoff: 300ms}' "$@"
}

make_streams() { # CALLED DESTINATION...
    local called=$1 name streams=() deliveries=()
    shift
    for name; do
        case $(kind_of "$name") in
        kinesis) streams+=("$called-$name") ;;
        firehose) deliveries+=("$called-$name") ;;
        esac
    done
    { [[ -z ${streams-} ]] || client "$(url_of kinesis)" make-streams 3 "${streams[@]}"; } &&
        { [[ -z ${deliveries-} ]] || client "$(url_of moto)" make-deliveries delivered "${deliveries[@]}"; }
}

# --- arrived data -----------------------------------------------------------------------------------

# Prints the content as lines; rows for Timestream.
content() { # DESTINATION CALLED
    case $1 in
    ndjson | packed) client "$(url_of kinesis)" stream "$2-$1" | cut -d ' ' -f 3 | base64 -d ;;
    kpl) client "$(url_of kinesis)" stream "$2-$1" | node tests/tools/kpl_lines.js "$npm" 2>"$work/passed-over.txt" ;;
    plain | gzipped) client "$(url_of moto)" delivered "$2-$1" delivered ;;
    gz | zst) client "$(url_of s3)" bucket metrics "$2-$1/" ;;
    big) client "$(url_of moto)" bucket delivered "$2-$1/" ;;
    timestream) quiet_curl --max-time 60 "$(url_of timestream_service)/dump" ;;
    clickhouse) python3 tests/tools/clickhouse_rows.py "$(url_of clickhouse_server)" default "$2" ;;
    influxdb | opentsdb) python3 tests/tools/point_lines.py stored "$1" "$(url_of influxd)" "$1" ;;
    esac
}

# Writes the content into $work/NAME.rw, and what the reader prints into $work/NAME.txt.
take_content() { # DESTINATION CALLED [OPTION...]
    local options=("${@:3}")
    [[ $1 == timestream ]] && options+=(--rows)
    (
        set -o pipefail
        content "$1" "$2" | python3 tests/tools/aws_content.py "${options[@]}" "$work/$1.rw"
    ) | tee "$work/$1.txt"
    return "${PIPESTATUS[0]}"
}

# Checks that the content is what was sent: same samples, same bits, each series in order.
arrived() { # DESTINATION CALLED CAPTURE FIRST [OPTION]
    take_content "$1" "$2" "${@:5}" && "$TOOLS/rrcompare" "$3" "$work/$1.rw" --first "$4" "${whole[@]}"
}

# Prints the number of items of this kind in the content.
found() { # WHAT DESTINATION
    sed -n "s/.*$1=\\([0-9]*\\).*/\\1/p" "$work/$2.txt"
}
