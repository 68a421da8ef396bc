#!/bin/bash
# influx.sh - lines that arrive by InfluxDB's protocol: paths, units, responses of its three versions, what is
# refused, users, and a restart.

. tests/lib.sh
read -r port < <(free_ports 1)
url=http://127.0.0.1:$port
data=$work/data

# post PATH FILE [CURL-ARGUMENT...]: prints the response, then its status and version
post() {
    curl -s --noproxy '*' -w '\n%{http_code} %header{x-influxdb-version}' --data-binary "@$2" "${@:3}" "$url$1"
}

answered() { # STATUS TEXT PATH LINES [CURL-ARGUMENT...]
    local said
    printf '%s\n' "$4" >"$work/lines"
    said=$(post "$3" "$work/lines" "${@:5}" 2>&1)
    echo "$said"
    [[ ${said##*$'\n'} == "$1 "* && $said == *"$2"* ]]
}

has() { # EXPRESSION VALUE [CURL-ARGUMENT...]
    local said
    said=$(curl -s --noproxy '*' -G "$url/api/v1/query" --data-urlencode "query=$1" "${@:3}")
    echo "$said"
    [[ $said == *"\"$2\"]"* ]]
}

taken_by_all_paths() {
    local path n=0
    for path in /write?db=d /api/v2/write?bucket=d/autogen /api/v3/write_lp?db=d /influx/write?db=d \
        "/influx/api/v2/write?bucket=d&org=o" /influx/api/v3/write_lp?db=d; do
        answered 204 1.8.10 "$path" "path,n=$((++n)) v=$n,value=$n" || return 1
        has "path_v{n=\"$n\"}" "$n" && has "path{n=\"$n\"}" "$n" || return 1
    done
}

units_are_read() {
    local unit path now
    now=$(date +%s)
    for unit in n:000000000 u:000000 ms:000 s:; do
        answered 204 "" "/write?db=d&precision=${unit%:*}" "unit,u=${unit%:*} v=1 $now${unit#*:}" || return 1
        has "timestamp(unit_v{u=\"${unit%:*}\"})" "$now" || return 1
    done
    answered 204 "" "/api/v3/write_lp?db=d&precision=second" "unit,u=v3 v=1 $now" && has "timestamp(unit_v{u=\"v3\"})" "$now"
}

counts() { # METRIC TEXT
    local said
    said=$(curl -s --noproxy '*' "$url/metrics" | grep -F "$1")
    echo "$said"
    [[ $said == *"$2"* ]]
}

has_help() { # METRIC
    local said
    said=$(curl -s --noproxy '*' -G "$url/api/v1/metadata" --data-urlencode "metric=$1")
    echo "$said"
    [[ $said == *'InfluxDB: float field \"idle\" of \"cpu\" in \"telegraf\"'* ]]
}

asks() {
    claim "all paths take lines" taken_by_all_paths
    claim "times have the unit that the request names" units_are_read
    claim "another unit is refused" answered 400 '{"error":"invalid precision' '/write?db=d&precision=x' 'a b=1'
    claim "a database is required" answered 400 '{"error":"database is required"}' /write 'a b=1'
    claim "a bucket is required" answered 400 '{"code":"invalid","message":"bucket is required"}' /api/v2/write 'a b=1'
    claim "a type of content is no matter" answered 204 "" '/write?db=d' 'typed v=1' -H 'Content-Type: text/plain'
    claim "remote write is still known by its type" answered 400 'snappy' /write 'a b=1' -H 'Content-Encoding: snappy' \
        -H 'Content-Type: application/x-protobuf'
    printf 'zipped v=1.5\n' | gzip >"$work/zipped"
    claim "gzip is unpacked" post '/write?db=d' "$work/zipped" -H 'Content-Encoding: gzip'
    claim "its sample is there" has zipped_v 1.5
    claim "a bad line is named, with those beside it taken" answered 400 \
        '{"error":"partial write: 1 of 2 points refused: unable to parse ' '/write?db=d' $'beside v=2.5\nbad'
    claim "the line beside it is there" has beside_v 2.5
    claim "version 2 says so in its own words" answered 400 '{"code":"invalid","message":"partial write: ' \
        '/api/v2/write?bucket=d' $'beside v=2\nbad'
    claim "version 3 has the number of the line" answered 400 '"original_line":"'"'bad'"'","line_number":2,' \
        '/api/v3/write_lp?db=d' $'beside v=3\nbad'
    claim "version 3 takes nothing of a bad request if it is to" answered 400 'unable to parse' \
        '/api/v3/write_lp?db=d&accept_partial=false' $'whole v=3\nbad'
    claim "nothing of it is there" answered_nothing whole_v
    claim "a request of which nothing can be taken is refused" answered 400 '{"error":"1 of 1 points refused: unable to parse' \
        '/write?db=d' 'bad'
    claim "texts are refused" answered 400 'texts are not stored' '/write?db=d' 'text s="x",v=1'
    claim "and the field beside one is there" has text_v 1
    claim "refused points are counted" counts firekeep_input_refused_points_total 'input="influx"} 6'
    claim "a field keeps its type" answered 400 'field type conflict' '/write?db=d' 'text v=1i'
    local now
    now=$(now_ms)
    claim "another value in the same millisecond is refused" answered 400 conflict '/write?db=d&precision=u' \
        "same v=1 ${now}001"$'\n'"same v=2 ${now}002"
    claim "what was named is named" answered 204 "" '/write?db=telegraf' 'cpu,host=a idle=1'
    claim "its metadata says which field it is" has_help cpu_idle
    claim "another field of the same name is refused" answered 400 'already known as InfluxDB' '/write?db=other' 'cpu,host=a idle=1'
    head -c 100000000 /dev/zero | gzip >"$work/bomb"
    claim "a body that unpacks to too much is refused" bomb_is_refused
    crash server
    claim "it starts again" start_firekeep server "$data" "$port"
    claim "samples are there after SIGKILL" has 'cpu_idle{host="a"}' 1
    claim "and so is what their fields are" answered 400 'already known as InfluxDB' '/write?db=other' 'cpu,host=a idle=1'
    claim "the field is taken as before" answered 204 "" '/write?db=telegraf' 'cpu,host=a idle=2'
}

answered_nothing() { # EXPRESSION
    local said
    said=$(curl -s --noproxy '*' -G "$url/api/v1/query" --data-urlencode "query=$1")
    echo "$said"
    [[ $said == *'"result":[]'* ]]
}

bomb_is_refused() {
    local said
    said=$(post '/write?db=d' "$work/bomb" -H 'Content-Encoding: gzip')
    echo "$said"
    [[ ${said##*$'\n'} == "413 "* && $said == '{"error":"the message is larger'* ]]
}

# Two requests, the first of their kind, for two fields that make one name.
only_one_is_taken() {
    local i statuses
    for i in 1 2 3 4 5 6 7 8; do
        printf 'x%d_y,n=%d z=1\n' "$i" "$i" >"$work/one"
        printf 'x%d,n=%d y_z=1\n' "$i" "$i" >"$work/other"
        post '/write?db=d' "$work/one" >"$work/first" &
        statuses=$(post '/write?db=d' "$work/other")$'\n'
        wait $!
        statuses+=$(cat "$work/first")
        echo "$statuses"
        [[ $(grep -c '^204' <<<"$statuses") == 1 ]] || return 1
    done
}

# The hash of "secret" by bcrypt, with cost 4, and the SHA-256 of the token "abc".
# shellcheck disable=SC2016 # the hash is not a variable
begin_with_users() {
    cat >"$work/users.yml" <<'END'
users:
- {name: writer, password: '$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW', permissions: [write], write_labels: {team: a}}
- {name: sender, tokens: [ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad], permissions: [write, read]}
END
    start_firekeep users "$work/users" "$port" "--config.file=$work/users.yml"
}

asks_with_users() {
    claim "without credentials nothing is taken" answered 401 "" '/write?db=d' 'a v=1'
    claim "a user and a password in the URL are known" answered 204 "" '/write?db=d&u=writer&p=secret' 'in_url v=1'
    claim "a wrong password is not" answered 401 "" '/write?db=d&u=writer&p=guess' 'in_url v=1'
    claim "a password in the URL is for the paths of InfluxDB only" answered 401 "" '/api/v1/write?u=writer&p=secret' 'a v=1'
    claim "a token is known" answered 204 "" '/api/v2/write?bucket=d' 'by_token v=1' -H 'Authorization: Token abc'
    claim "a token that is a user and a password is" \
        answered 204 "" '/api/v2/write?bucket=d' 'by_both v=1' -H 'Authorization: Token writer:secret'
    claim "write_labels are set" has 'in_url_v{team="a"}' 1 -H 'Authorization: Bearer abc'
    claim "the log has no password" log_lacks secret
    claim "nor what was guessed" log_lacks guess
}

log_lacks() { # TEXT
    ! grep -F "$1" "$work/users.log"
}

claim "a server starts" start_firekeep server "$data" "$port" && asks
claim "of two fields that make one name at once, one is taken" only_one_is_taken
stop server
claim "a server with users starts" begin_with_users && asks_with_users
stop users
done_testing
