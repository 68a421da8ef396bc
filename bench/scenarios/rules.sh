# shellcheck shell=bash disable=SC2034,SC2154
# rules.sh - evaluates rules beside live traffic: each series has a sample every 15 s
# (bench/promql/cluster.txt), spread evenly; then RULES rules at an interval of a minute are loaded,
# in groups of 50 (bench/rules/): two groups for each rack, and one in twenty over a tenth of the
# racks, with six rules over all of them. The cost of rules, to evaluate and to write their results,
# is the CPU with them less that of an equally long time before they were loaded. VictoriaMetrics
# counts together with the vmalert that queries it. Servers have no Alertmanager.

rules_about() {
    echo "rules each minute beside live traffic"
}

rules_load() {
    unfit=(prometheus)
    sizes rules 10000 1000
    sizes series 100000 10000
    scrapes=0 # follows the clock (rules_live)
    history=40
    alone=$((QUICK == 1 ? 4 : 12)) warming=$((QUICK == 1 ? 5 : 10)) with=$((QUICK == 1 ? 8 : 20))
    connections=4
}

rules_group() { # KIND NUMBER
    printf -- '- name: %s-%s\n  rules:\n' "$1" "$2"
    sed -n "/^- /{ s/#/$2/g; s/^/  /; p }" "bench/rules/$1.yml"
}

# Writes the rule files, which are the same for all servers.
rules_write() {
    local groups=$((rules / 50)) zones each
    zones=$(((groups + 19) / 20))
    ((zones <= 10)) || zones=10
    ((groups - zones <= series / 1000 * 2)) ||
        give_up "$rules rules are too many for $series series"
    mkdir -p "$work/rules"
    for each in node services zone; do
        echo 'groups:' >"$work/rules/$each.yml"
    done
    for ((each = 0; each < groups - zones; each++)); do
        if ((each % 2 == 0)); then
            rules_group node "$((each / 2))" >>"$work/rules/node.yml"
        else
            rules_group services "$((each / 2))" >>"$work/rules/services.yml"
        fi
    done
    for ((each = 0; each < zones; each++)); do
        rules_group zone "$each" >>"$work/rules/zone.yml"
    done
    echo 'rule_files: [rules/*.yml]' >"$work/rules.yml"
}

rules_use() {
    case $name in
    firekeep)
        cp "$work/rules.yml" "$dir.yml"
        kill -HUP "$pid"
        ;;
    prometheus*)
        cp "$work/rules.yml" "$dir.yml"
        kill -HUP "$pid"
        ;;
    victoriametrics)
        rules_port=$(free_ports 1)
        start vmalert "${peers}/victoria-metrics/usr/bin/vmalert" "-datasource.url=$url" \
            "-remoteWrite.url=$url" "-remoteRead.url=$url" -notifier.blackhole \
            "-rule=$work/rules/*.yml" "-httpListenAddr=127.0.0.1:$rules_port" -loggerLevel=WARN
        vmalert_pid=${pids[$(_index_of vmalert)]}
        ;;
    esac
}

# Records the CPU ticks of evaluator and server, and the metrics of the server.
rules_mark() { # NAME
    mark "$1"
    rules_at_ms[$1]=$(now_ms)
    rules_cpu[$1]=${cpu_at[$1]} rules_own[$1]=0
    [[ $name != firekeep ]] || rules_own[$1]=$(threads_cpu 'rules*')
    [[ -n ${vmalert_pid-} ]] || return 0
    rules_own[$1]=$(pid=$vmalert_pid cpu_ticks)
    rules_cpu[$1]=$((rules_cpu[$1] + rules_own[$1]))
    ask "http://127.0.0.1:$rules_port/metrics" >"$work/metrics.$1"
}

rules_total() { # METRIC MARK
    awk -v name="$1" '$1 == name || index($1, name "{") == 1 { sum += $NF }
        END { printf "%.0f\n", sum }' "$work/metrics.$2"
}

# Sends scrapes at the pace of the clock, from the one that is due now.
rules_live() { # COUNT
    local due=$((start_ms + 15000 * scrapes + 20000)) now
    now=$(now_ms)
    if ((now < due)); then
        doze "$(calc "($due - $now) / 1000" %.3f)"
    else
        scrapes=$(((now - start_ms - 20000) / 15000 + 1))
        doze "$(calc "($start_ms + 15000 * $scrapes + 20000 - $now) / 1000" %.3f)"
    fi
    rules_send "$1" --rate "$((series / 15))"
}

rules_send() { # COUNT [ARGUMENT...]
    local count=$1
    shift
    send "$scrapes" "$count" --cluster bench/promql/cluster.txt "$@"
    scrapes=$((scrapes + count))
}

rules_memory() { # FIGURE
    local kib
    kib=$(memory_kib VmHWM)
    [[ -z ${vmalert_pid-} ]] || kib=$((kib + $(pid=$vmalert_pid memory_kib VmHWM)))
    note "$1" "$(calc "$kib / 1024" %.1f)"
}

rules_note_requests() { # SUFFIX
    local key
    for key in request_p50_ms request_p99_ms request_max_ms; do
        note "$key$1" "$(value_of "$key" <"$work/load")"
    done
}

# Notes durations of the last evaluations of groups.
rules_note_durations() {
    local metric
    case $name in
    firekeep) metric=firekeep_rule_group_last_duration_seconds ;;
    prometheus*) metric=prometheus_rule_group_last_duration_seconds ;;
    *) metric=vmalert_iteration_duration_seconds ;;
    esac
    awk -v name="$metric{" 'index($1, name) == 1 && (!/quantile=/ || /quantile="0.5"/) { print $NF * 1000 }' \
        "$work/metrics.end" | sort -g >"$work/durations"
    note duration_p50_ms "$(sed -n "$((($(wc -l <"$work/durations") + 1) / 2))p" "$work/durations")"
    note duration_max_ms "$(tail -n 1 "$work/durations")"
    [[ $name != victoriametrics ]] || return 0
    ask "$url/api/v1/query?query=bench:group_time" >"$work/times"
    ask "$url/api/v1/rules" >"$work/shown"
    ask "$url/api/v1/query?query=bench:group_time" >"$work/times.after"
    local key value
    while IFS='=' read -r key value; do
        note "$key" "$value"
    done < <(/usr/bin/python3 bench/lib/rules_lag.py "$work/times" "$work/shown" "$work/times.after")
}

rules_note_costs() {
    local evaluations=prometheus_rule_evaluations_total failures=prometheus_rule_evaluation_failures_total
    local missed=prometheus_rule_group_iterations_missed_total count before during
    case $name in
    firekeep)
        evaluations=${evaluations/prometheus/firekeep} failures=${failures/prometheus/firekeep}
        missed=${missed/prometheus/firekeep}
        note commits_per_s_alone "$(calc "$(rose firekeep_wal_commits_total alone alone_end) / $alone / 15" %.1f)"
        note commits_per_s "$(calc "$(rose firekeep_wal_commits_total begin end) / $with / 15" %.1f)"
        ;;
    victoriametrics)
        evaluations=vmalert_rules_bench missed=vmalert_iteration_missed_total
        failures=vmalert_execution_errors_total
        for count in begin end; do
            echo "$evaluations $(($(rules_total vmalert_iteration_total "$count") * 50))" \
                >>"$work/metrics.$count"
        done
        ;;
    esac
    count=$(($(rules_total "$evaluations" end) - $(rules_total "$evaluations" begin)))
    ((count > 0)) || give_up "evaluates nothing"
    before=$(calc "(${rules_cpu[alone_end]} - ${rules_cpu[alone]}) / $ticks / $alone")
    during=$(calc "(${rules_cpu[end]} - ${rules_cpu[begin]}) / $ticks / $with")
    note evaluations_per_minute \
        "$(calc "$count / (${rules_at_ms[end]} - ${rules_at_ms[begin]}) * 60000" %.0f)"
    note cpu_s_per_minute_alone "$(calc "$before * 4" %.3f)"
    note cpu_s_per_minute "$(calc "$during * 4" %.3f)"
    note cpu_s_per_10000 "$(calc "($during - $before) * $with / $count * 10000" %.3f)"
    [[ $name == prometheus* ]] ||
        note cpu_own_s_per_10000 "$(calc "(${rules_own[end]} - ${rules_own[begin]}) / $ticks / $count * 10000" %.3f)"
    note evaluations_failed "$(($(rules_total "$failures" end) - $(rules_total "$failures" begin)))"
    note missed "$(($(rules_total "$missed" end) - $(rules_total "$missed" begin)))"
}

rules_turn() {
    local rules_port= vmalert_pid=
    local -A rules_cpu rules_own rules_at_ms
    rules_write
    [[ $name != firekeep ]] || flags+=("--config.file=$dir.yml")
    scrapes=0 start_ms=$(($(now_ms) - history * 15000))
    start_server "$name"
    rules_send "$history"
    settle 2
    rules_live 1
    forget_peak
    rules_mark alone
    rules_live "$alone"
    rules_mark alone_end
    rules_note_requests _alone
    rules_memory peak_rss_mib_alone
    rules_use
    rules_live "$warming"
    forget_peak
    [[ -z $vmalert_pid ]] || (pid=$vmalert_pid forget_peak)
    rules_mark begin
    rules_live "$with"
    rules_mark end
    rules_note_requests ""
    rules_memory peak_rss_mib
    rules_note_costs
    rules_note_durations
    [[ -z $vmalert_pid ]] || stop vmalert || note ended_badly 1
    stop "$name" || note ended_badly 1
}

rules_rows() {
    cat <<'EOF'
evaluations_per_minute|evaluations a minute|%.0f
cpu_s_per_10000|CPU s per 10,000 evaluations|%.3f
cpu_own_s_per_10000|  of them rules threads; vmalert|%.3f
cpu_s_per_minute|CPU s a minute, with rules|%.2f
cpu_s_per_minute_alone|  without|%.2f
duration_p50_ms|a group's evaluation, p50, ms|%.1f
duration_max_ms|  max|%.1f
lag_p50_ms|after its time it ends, p50, ms|%.1f
lag_max_ms|  max|%.1f
missed|evaluations of groups missed|%d
evaluations_failed|evaluations that failed|%d
peak_rss_mib|peak RSS with rules, MiB|%.0f
peak_rss_mib_alone|  without|%.0f
request_p50_ms|p50 of write requests with rules, ms|%.2f
request_p50_ms_alone|  without|%.2f
request_p99_ms|p99 of write requests with rules, ms|%.2f
request_p99_ms_alone|  without|%.2f
commits_per_s|commits per second with rules|%.1f
commits_per_s_alone|  without|%.1f
EOF
}
