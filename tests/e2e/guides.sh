#!/bin/bash
# guides.sh - the commands of docs/first-hour.md and docs/recipes.md, run in the order of the pages
# with other directories, ports and intervals; the links of docs/questions.md.
#
# A block is lines of code that are indented by four blanks. A comment on the line before it says how
# it is run:
#
#   <!-- read: REASON -->      not at all: its syntax is checked
#   <!-- parsed -->            as well, and documents.sh checks its commands of clouds
#   <!-- needs: PROGRAM -->    only if there is this program; else its syntax is checked
#   <!-- until: TEXT -->       again and again, until its output has this text
#
# `systemctl` starts the programs that the units of the packages start.

. tests/lib.sh
for tool in curl jq openssl prometheus prometheus-node-exporter prometheus-alertmanager promtool; do
    command -v "$tool" >/dev/null || skip_all "the pages' commands" "no $tool"
done
mapfile -t ports < <(free_ports 12)
root=$PWD
mkdir -p "$work"/{bin,etc/{default,nginx/conf.d,prometheus,firekeep},var/{lib,tmp,backups},srv}
ln -sf "$root/build/firekeep" "$work/bin/firekeep"
PATH=$work/bin:$PATH:$root/$PEERS/victoria-metrics/usr/bin
export FIREKEEP_URL=http://127.0.0.1:${ports[0]} NO_PROXY='*' no_proxy='*'
url=$FIREKEEP_URL

# --- the machine -------------------------------------------------------------------------------------

# The ports of the pages, and those that stand for them.
pages_ports=(9201 9090 9093 9100 8429 2003 8428 9202 443)

local_text() {
    local i script="s#(^|[^[:alnum:]._/-])/(etc|var|srv)/#\1$work/\2/#g; s#/usr/share/firekeep/#$root/docs/#g; s/\b(15|30)s\b/1s/g"
    for i in "${!pages_ports[@]}"; do
        script+="; s/\b${pages_ports[i]}\b/${ports[i]}/g"
    done
    sed -E "$script"
}

# Nothing is run that names a directory of this machine.
names_no_directory() { # BLOCK
    local rest=${1//"$work"/.}
    ! grep -E '(^|[^[:alnum:]._-])/(etc|var|srv|usr|root|home|opt|lib|bin|run)/' <<<"${rest//"$root"/.}"
}

prepare_machine() {
    local i
    cat >"$work/etc/prometheus/prometheus.yml" <<EOF
global: {scrape_interval: 1s}
scrape_configs:
  - {job_name: prometheus, static_configs: [{targets: ["127.0.0.1:${ports[1]}"]}]}
  - {job_name: node, static_configs: [{targets: ["127.0.0.1:${ports[3]}"]}]}
EOF
    local_text <packaging/firekeep.yml | sed "s|\.\./docs/|$root/docs/|" >"$work/etc/firekeep/firekeep.yml"
    echo 'route: {receiver: none}
receivers: [{name: none}]' >"$work/etc/alertmanager.yml"
    cat >"$work/nginx.conf" <<EOF
pid $work/nginx.pid;
error_log $work/nginx.log;
events {}
http {
    access_log off;
    $(for i in client_body proxy fastcgi uwsgi scgi; do echo "${i}_temp_path $work/nginx-$i;"; done)
    include $work/etc/nginx/conf.d/*.conf;
}
EOF
    systemctl start prometheus prometheus-node-exporter prometheus-alertmanager
}

nginx() {
    command nginx -c "$work/nginx.conf" -e "$work/nginx.log" "$@"
}

start_service() { # NAME
    local FIREKEEP_ARGS="--config.file=$work/etc/firekeep/firekeep.yml"
    case $1 in
    firekeep)
        [[ ! -e $work/etc/default/firekeep ]] || . "$work/etc/default/firekeep"
        # shellcheck disable=SC2086 # several flags
        start firekeep firekeep serve "--storage.path=$work/var/lib/firekeep" "--web.listen-address=127.0.0.1:${ports[0]}" $FIREKEEP_ARGS
        wait_ready firekeep "$url/-/healthy"
        ;;
    prometheus)
        start prometheus prometheus "--config.file=$work/etc/prometheus/prometheus.yml" "--storage.tsdb.path=$work/var/lib/prometheus" \
            "--web.listen-address=127.0.0.1:${ports[1]}" --web.enable-lifecycle
        wait_ready prometheus "http://127.0.0.1:${ports[1]}/-/ready"
        ;;
    prometheus-alertmanager)
        start prometheus-alertmanager prometheus-alertmanager "--config.file=$work/etc/alertmanager.yml" \
            "--storage.path=$work/var/lib/alertmanager" "--web.listen-address=127.0.0.1:${ports[2]}" --cluster.listen-address=
        ;;
    prometheus-node-exporter)
        start prometheus-node-exporter prometheus-node-exporter "--web.listen-address=127.0.0.1:${ports[3]}" \
            --collector.disable-defaults --collector.loadavg --collector.cpu
        ;;
    nginx) start nginx nginx -c "$work/nginx.conf" -e "$work/nginx.log" -g 'daemon off;' ;;
    esac
}

systemctl() { # ACTION [-s SIGNAL] NAME...
    local action=$1 name
    shift
    [[ $1 != -s ]] || shift 2
    for name; do
        case $action in
        start) is_running "$name" || start_service "$name" ;;
        stop) stop "$name" || : ;; # some end by the signal
        kill) crash "$name" ;;
        restart)
            ! is_running "$name" || stop "$name" || :
            start_service "$name"
            ;;
        reload)
            _find "$name" && kill -HUP "${pids[found]}"
            ;;
        esac || return 1
    done
}

# There is no user firekeep here.
chown() { :; }

# --- the pages ---------------------------------------------------------------------------------------

# Runs a block in this shell, and fails with each command that fails. A line that ends in "&" begins
# a process that lasts until the end of the script.
run_block() { # BLOCK
    local line text=
    while IFS= read -r line; do
        [[ $line != *' &' ]] || line="start background ${line% &}"
        text+=$line$'\n'
    done <<<"$1"
    failed=
    trap 'failed+="failed: $BASH_COMMAND; "' ERR
    eval "$text" >"$work/block.txt" 2>&1
    trap - ERR
}

has_succeeded() {
    cat "$work/block.txt"
    echo "$failed"
    [[ -z $failed ]]
}

prints() { # TEXT BLOCK
    eval "$2" >"$work/block.txt" 2>&1
    cat "$work/block.txt" >"$work/claim.txt" # of the last time only
    grep -qF -e "$1" "$work/block.txt"
}

do_block() { # NAME BLOCK
    if [[ -n $reason ]] || { [[ -n $program ]] && ! type -P "$program" >/dev/null; }; then
        claim "$1: is valid" bash -n -c "$2"
        [[ -n $reason ]] || skip "$1" "no $program"
    elif ! names_no_directory "$2" >/dev/null; then
        claim "$1: names no directory of this machine" names_no_directory "$2"
    elif [[ -n $text ]]; then
        claim "$1" within 40 prints "$text" "$2"
    else
        run_block "$2"
        claim "$1" has_succeeded
    fi
}

run_page() { # FILE
    local line block='' heading='' reason='' program='' text='' first
    while IFS= read -r line; do
        case $line in
        '    '*)
            block+=${line:4}$'\n'
            continue
            ;;
        '#'*) heading=${line##*# } ;;
        '<!-- read: '*) reason=${line:11:-4} ;;
        '<!-- parsed -->') reason=parsed ;;
        '<!-- needs: '*) program=${line:12:-4} ;;
        '<!-- until: '*) text=${line:12:-4} ;;
        esac
        [[ -n $block ]] || continue
        first=${block%%$'\n'*}
        do_block "$heading: ${first:0:60}" "$(local_text <<<"$block")"
        block='' reason='' program='' text=''
    done < <(cat "$root/$1" && echo)
}

# Prints what a heading is called in links.
anchors_of() { # FILE
    sed -n 's/^##* //p' "$1" | tr '[:upper:]' '[:lower:]' | tr -d '`' | sed -E 's/[^[:alnum:] _-]//g; s/ /-/g'
}

# Links may be broken by the end of a line.
links_lead_somewhere() { # FILE
    local link file bad=0
    while read -r link; do
        file=docs/${link%%#*}
        [[ $link != '#'* ]] || file=$1
        [[ -e $file ]] && { [[ $link != *'#'* ]] || anchors_of "$file" | grep -qxF -e "${link#*#}"; } && continue
        echo "$1: $link"
        bad=1
    done < <(tr '\n' ' ' <"$1" | grep -oE '\]\([^)]+\)' | sed 's/^](//; s/)$//' | grep -v '^https*:')
    return "$bad"
}

# Each question, but no other heading of its level, has an answer that ends with a link.
answers_end_with_links() {
    awk '
        function check() { if (question != "" && last !~ /\)\.?$/) { print question; bad = 1 } }
        /^##/ { check(); question = /^### / ? $0 : ""; count += question != "" }
        NF { last = $0 }
        END { check(); print count " questions"; exit bad || count < 20 }' docs/questions.md
}

for page in first-hour recipes questions scaling; do
    claim "links of docs/$page.md lead somewhere" links_lead_somewhere "docs/$page.md"
done
claim "each question has an answer that ends with a link" answers_end_with_links
prepare_machine
run_page docs/first-hour.md
rm -f "$work/etc/default/firekeep"
run_page docs/recipes.md
stop prometheus # before Firekeep: it tries for a minute to send the rest
done_testing
