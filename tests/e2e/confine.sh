#!/bin/bash
# confine.sh - a server dumps no core, and a filter limits the system calls of all its threads and of
# the programs that it runs, unless its settings say otherwise; the kernel refuses it nothing while
# it does its work. All other scripts run servers with the filter, too.

. tests/lib.sh
mapfile -t ports < <(free_ports 2)
port=${ports[0]}
url=http://127.0.0.1:$port
unset AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_REGION
export AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=$work/aws AWS_SHARED_CREDENTIALS_FILE=$work/none

# The program does what such programs do: it starts others, and threads, and opens a connection.
cat >"$work/credentials.py" <<'END'
import json, os, subprocess, sys, tempfile, threading, urllib.request
thread = threading.Thread(target=os.getpid)
thread.start()
thread.join()
subprocess.run(["sh", "-c", "ls / | sort >/dev/null"], check=True)
with tempfile.NamedTemporaryFile() as file:
    os.chmod(file.name, 0o600)
assert urllib.request.urlopen(sys.argv[2] + "/-/healthy").status == 200
open(sys.argv[1], "w").close()
print(json.dumps({"Version": 1, "AccessKeyId": "AKID", "SecretAccessKey": "secret"}))
END
cat >"$work/aws" <<END
[default]
credential_process = python3 "$work/credentials.py" "$work/ran" $url
END
echo 'groups: [{name: g, interval: 1s, rules: [{record: one, expr: vector(1)}]}]' >"$work/rules.yml"
cat >"$work/firekeep.yml" <<END
web: {enable_admin_api: true, enable_lifecycle: true}
self_scrape: {interval: 1s}
rule_files: ["$work/rules.yml"]
destinations:
  - {name: stream, type: kinesis, stream: s, region: eu-west-1, endpoint: "http://127.0.0.1:${ports[1]}", batch: {max_age: 100ms}}
END

of_server() { # FILE
    local found
    _find server && cat "/proc/${pids[found]}/$1"
}

# Each thread has 0 or 2 for Seccomp: not limited, or limited by a filter.
threads_have() { # SECCOMP NO_NEW_PRIVS
    local found others
    _find server || return 1
    others=$(grep -H -E '^(Seccomp|NoNewPrivs):' "/proc/${pids[found]}/task/"*/status |
        grep -v -E "(Seccomp:	$1|NoNewPrivs:	$2)\$")
    echo "$others"
    [[ -z $others ]]
}

core_limit_is() { # SOFT HARD
    of_server limits | grep '^Max core file size' | tee "$work/limit"
    grep -q -E "^Max core file size +$1 +$2 " "$work/limit"
}

of_this_shell() { # -S|-H
    local blocks
    blocks=$(ulimit "$1" -c)
    [[ $blocks == unlimited ]] && echo "$blocks" || echo $((blocks * 1024))
}

post() { # PATH
    [[ $(curl -s --noproxy '*' -o "$work/answer" -w '%{http_code}' -XPOST "$url$1") == 20? ]] || {
        echo "$1: $(head -c 200 "$work/answer")"
        return 1
    }
}

finds() { # EXPRESSION
    "$TOOLS/get" "$url/api/v1/query?query=$1" 10 | grep -q '"value":'
}

works() {
    within 30 finds one && within 30 finds process_open_fds || return 1
    post /api/v1/admin/tsdb/flush && post /api/v1/admin/tsdb/merge && post /api/v1/admin/tsdb/snapshot &&
        post /-/reload && finds one
}

program_runs() {
    within 30 test -e "$work/ran"
}

# The kernel writes an audit record of each call that the filter refuses.
nothing_was_refused() {
    local found
    _find server || return 1
    ! dmesg | grep "type=1326 .* pid=${pids[found]} .*firekeep"
}

has_no_filter() {
    threads_have 0 0 && core_limit_is "$(of_this_shell -S)" "$(of_this_shell -H)"
}

claim "starts" start_firekeep server "$work/data" "$port" --config.file="$work/firekeep.yml" || exit 1
claim "a filter limits each thread" threads_have 2 1
claim "no core is dumped" core_limit_is 0 0
claim "rules, self-scrape, flush, merge, snapshot, reload and queries work" works
claim "a credential_process runs" program_runs
if dmesg >/dev/null 2>&1; then
    claim "nothing that it does is refused" nothing_was_refused
else
    skip "nothing that it does is refused" "dmesg cannot be read"
fi
claim "each later thread is limited" threads_have 2 1
claim "stops" stop server
claim "starts without a filter, and with core dumps" start_firekeep server "$work/data" "$port" \
    --config.file="$work/firekeep.yml" --no-process.seccomp --process.core-dumps || exit 1
claim "nothing is limited" has_no_filter
claim "stops again" stop server
done_testing
