# shellcheck shell=bash disable=SC2034,SC2154
# scaling_lib.sh - sourced after lib.sh: the machines of docs/scaling.md as processes, with the files
# of that page. Shards are ch1 and ch2, Firekeeps fk1 and fk2 behind the balancer lb, and fk3 with
# the rules. The caller sets `work`, and calls name_machines.

declare -A at=() # address by the name of the page: HOST:PORT
name_machines() {
    local name found n=0
    mapfile -t found < <(free_ports 8)
    for name in ch1:8123 ch1:9000 ch2:8123 ch2:9000 fk1:9201 fk2:9201 fk3:9201 lb:9200; do
        at[$name]=127.0.0.1:${found[n++]}
    done
    mkdir -p "$work/rules"
}

# Prints the block of the page that has this mark, with the addresses of this machine.
page_block() { # NAME
    local name script=''
    for name in "${!at[@]}"; do
        script+="s/\b$name\b/${at[$name]}/g; s|<host>${name%:*}</host><port>${name#*:}</port>|<host>127.0.0.1</host><port>${at[$name]#*:}</port>|g; "
    done
    script+="s/listen 9200;/listen ${at[lb:9200]};/; s|/etc/firekeep/rules/|$work/rules/|; s/10\.0\.0\.10/127.0.0.1/; /listen_address/d"
    awk -v mark="<!-- scaling: $1 -->" '$0 == mark { on = 1; next } on && /^    / { print substr($0, 5); found = 1; next }
        on && NF { exit } END { exit !found }' docs/scaling.md | sed "$script"
}

# A shard has its own time zone, and this profile for all of its users.
start_shard() { # NAME [PROFILE [TIMEZONE]]
    local name=$1 dir=$work/$1
    mkdir -p "$dir/tmp"
    {
        cat <<END
<yandex>
  <logger><level>warning</level><console>1</console></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>${at[$name:8123]#*:}</http_port>
  <tcp_port>${at[$name:9000]#*:}</tcp_port>
  <path>$dir/</path>
  <tmp_path>$dir/tmp/</tmp_path>
  <users_config>$work/$name-users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <mark_cache_size>67108864</mark_cache_size>
  <timezone>${3:-UTC}</timezone>
END
        page_block cluster.xml | sed 1d
    } >"$work/$name.xml"
    shard_profile "$name" "${2-}"
    start "$name" clickhouse-server "--config-file=$work/$name.xml"
    wait_ready "$name" "http://${at[$name:8123]}/ping"
}

# ClickHouse notices a changed file within some seconds.
shard_profile() { # NAME SETTINGS
    cat >"$work/$1-users.next" <<END
<yandex>
  <profiles><default><background_pool_size>4</background_pool_size>$2</default></profiles>
  <quotas><default></default></quotas>
  <users><default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users>
</yandex>
END
    mv "$work/$1-users.next" "$work/$1-users.xml"
}

shard_query() { # NAME QUERY
    curl -fsS --noproxy '*' --max-time 120 "http://${at[$1:8123]}/" --data-binary "$2"
}

create_tables() { # NAME
    local statement
    while IFS= read -rd ';' statement; do
        shard_query "$1" "$statement" || return 1
    done < <(page_block tables.sql)
}

start_front() { # NAME SHARD [ARGUMENT...]
    page_block front.yml | sed "s/${at[ch1:8123]}/${at[$2:8123]}/" >"$work/$1.yml"
    start_firekeep "$1" "$work/$1" "${at[$1:9201]#*:}" --config.file="$work/$1.yml" "${@:3}"
}

start_ruler() {
    page_block rules.yml | sed '/^alerting:/,/targets:/d' >"$work/fk3.yml"
    start_firekeep fk3 "$work/fk3" "${at[fk3:9201]#*:}" --config.file="$work/fk3.yml"
}

start_balancer() {
    local name
    {
        echo "pid $work/nginx.pid; error_log $work/nginx.log; daemon off; master_process off; events {} http { access_log off;"
        for name in client_body proxy fastcgi uwsgi scgi; do
            echo "${name}_temp_path $work/nginx-$name;"
        done
        page_block nginx.conf
        echo '}'
    } >"$work/nginx.conf"
    start lb nginx -c "$work/nginx.conf" -e "$work/nginx.log"
    wait_ready lb "http://${at[lb:9200]}/-/healthy"
}
