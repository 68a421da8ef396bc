#!/bin/bash
# sql.sh - SQL over samples: tables, what is pushed down, functions, forms of answers that other programs read, errors,
# users, and statements that would cost too much.

. tests/lib.sh
read -r port < <(free_ports 1)
url=http://127.0.0.1:$port
t0=1700000000000

writes() {
    {
        for i in $(seq 0 9); do
            echo "up{job=\"a\",instance=\"one\"} $((i % 2)) $((t0 + i * 1000))"
            echo "up{job=\"b\",instance=\"two\"} 1 $((t0 + i * 1000))"
            echo "requests_total{job=\"a\",code=\"200\"} $(((i * 7) % 31)) $((t0 + i * 1000))"
        done
        echo "odd{job=\"a\"} NaN $t0"
        echo "odd{job=\"b\"} +Inf $t0"
        echo "odd{Job=\"c\",time=\"x\"} -Inf $t0"
    } >"$work/text"
    [[ $(curl -s --noproxy '*' -o /dev/null -w '%{http_code}' --data-binary "@$work/text" "$url/api/v1/import/prometheus") == 204 ]]
}

# ask STATEMENT [CURL-ARGUMENT...]: prints the answer, and its status in $work/status
ask() {
    curl -s --noproxy '*' -o "$work/answer" -w '%{http_code} %{content_type}' "$url/api/v1/sql" --data-urlencode "query=$1" "${@:2}" >"$work/status"
    cat "$work/answer"
}

rows() { # EXPECTED STATEMENT [CURL-ARGUMENT...]: the rows as JSON
    local said
    said=$(ask "${@:2}" | jq -c .rows 2>/dev/null)
    [[ $said == "$1" ]] || {
        echo "$said"
        cat "$work/answer"
        return 1
    }
}

refused() { # STATUS TEXT STATEMENT [CURL-ARGUMENT...]
    local said
    said=$(ask "${@:3}")
    echo "$(<"$work/status") $said"
    [[ $(<"$work/status") == "$1 "* && $said == *"$2"* ]]
}

plans() { # TEXT STATEMENT: what EXPLAIN QUERY PLAN says
    local said
    said=$(ask "EXPLAIN QUERY PLAN $2" | jq -r '.rows[][3]')
    echo "$said"
    [[ $said == *"$1"* ]]
}

tables() {
    claim "samples are rows" rows "[[$t0,\"up\",0,null,\"{\\\"__name__\\\":\\\"up\\\",\\\"instance\\\":\\\"one\\\",\\\"job\\\":\\\"a\\\"}\",\"up{instance=\\\"one\\\", job=\\\"a\\\"}\",\"float\",null,null]]" \
        "SELECT * FROM samples WHERE metric='up' AND time=$t0 AND labels->>'job'='a'"
    claim "a metric is a table" rows '[["one","a",0],["two","b",1]]' "SELECT instance, job, value FROM metric.up WHERE time=$t0 ORDER BY instance"
    claim "also without its schema" rows '[[20]]' 'SELECT count(*) FROM up'
    claim "a metric that does not exist is named" refused 400 'no such table: metric.nope' 'SELECT * FROM metric.nope'
    claim "a missing label is NULL" rows '[["c",null],[null,"a"],[null,"b"]]' 'SELECT Job, "label:job" FROM metric.odd ORDER BY 1 NULLS LAST, 2'
    claim "NaN is NULL, with its name" rows '[["a",null,"NaN"]]' "SELECT [label:job], value, nan FROM odd WHERE [label:job]='a'"
    claim "infinities are kept" rows '[["+Inf"]]' "SELECT value FROM odd WHERE [label:job]='b'"
    claim "a selector is an argument" rows '[[10]]' "SELECT count(*) FROM samples('up{job=~\"b.*\"}')"
    claim "metrics join" rows '[[10]]' "SELECT count(*) FROM metric.up u JOIN metric.requests_total r ON u.time=r.time AND u.job=r.job"
    claim "the schema shows tables" rows '[["samples"]]' "SELECT name FROM sqlite_schema WHERE name='samples'"
    claim "and metrics" rows '[["odd"],["requests_total"],["up"]]' "SELECT name FROM metric.sqlite_schema WHERE name NOT LIKE 'firekeep%' ORDER BY 1"
}

pushes() {
    claim "times and labels are pushed" plans 'job=? AND time>=? AND time<?' "SELECT * FROM up WHERE job='a' AND time>=1 AND time<2"
    claim "an empty label finds nothing" rows '[[0]]' "SELECT count(*) FROM up WHERE job=''"
    claim "another label leaves missing ones out" rows '[["b"]]' "SELECT [label:job] FROM odd WHERE [label:job]<>'a'"
    claim "lists are pushed" rows '[[20]]' "SELECT count(*) FROM up WHERE job IN ('a','b','x.y|z')"
    claim "LIKE ignores case" rows '[[10]]' "SELECT count(*) FROM up WHERE instance LIKE 'ON%'"
    claim "GLOB does not" rows '[[0]]' "SELECT count(*) FROM up WHERE instance GLOB 'ON*'"
    claim "REGEXP finds a part" rows '[[10]]' "SELECT count(*) FROM up WHERE instance REGEXP '^o.e\$'"
    claim "a missing label IS NULL" rows '[["-Inf"]]' 'SELECT value FROM odd WHERE "label:job" IS NULL'
    claim "alternatives are not counted twice" rows '[[20]]' "SELECT count(*) FROM up WHERE job='a' OR instance='two' OR time>0"
    claim "a number is a label's text" rows '[[10]]' 'SELECT count(*) FROM requests_total WHERE code=200'
    claim "a time that is a text is refused" refused 400 "write ts(" "SELECT * FROM up WHERE time > '2024-01-01'"
    claim "groups of a series need no sorting" eval '! plans "TEMP B-TREE" "SELECT series, count(*) FROM samples GROUP BY series"'
}

functions() {
    claim "times are read and written" rows '[[1709208000000,"2024-02-29T12:00:00.000Z","2024-02-29T13:00:00.000+01:00"]]' \
        "SELECT ts('2024-02-29 12:00'), iso(ts('2024-02-29 12:00')), iso(ts('2024-02-29 12:00'), 'Europe/Berlin')"
    claim "bins begin at midnight of a zone" rows '[["2024-03-31T00:00:00.000+01:00"]]' \
        "SELECT iso(bin(ts('2024-03-31 14:00'), '1d', 'Europe/Berlin'), 'Europe/Berlin')"
    claim "increase counts resets" rows '[[54,1]]' 'SELECT increase(series, time, value), delta(series, time, value) FROM requests_total'
    claim "two series in a group are an error" refused 400 'GROUP BY series' 'SELECT rate(series, time, value) FROM up'
    claim "first and last" rows '[["a",0,1],["b",1,1]]' 'SELECT job, first(value, time), last(value, time) FROM up GROUP BY job ORDER BY job'
    claim "quantile and stddev are PromQL's" rows '[[0.5,0.5]]' "SELECT quantile(0.5, value), stddev(value) FROM up WHERE job='a'"
    claim "parameters are bound" rows '[["a"]]' 'SELECT DISTINCT job FROM up WHERE job = :job' --data-urlencode 'params={"job":"a"}'
    claim "also by place" rows '[["b"]]' 'SELECT DISTINCT job FROM up WHERE job = ?1' --data-urlencode 'params=["b"]'
}

same_by() { # FORMAT READER
    curl -s --noproxy '*' "$url/api/v1/sql" --data-urlencode "query=$wide" | jq -c '.rows[]' >"$work/rows.json"
    curl -s --noproxy '*' "$url/api/v1/sql" -d "format=$1" --data-urlencode "query=$wide" >"$work/table.$1"
    node "$work/read_table.mjs" "$2" "$work/table.$1" >"$work/rows.$2" || return 1
    [[ -s $work/rows.json ]] && cmp "$work/rows.json" "$work/rows.$2"
}
wide="SELECT time, value, labels->>'job' AS job, nan, 5 AS n, series FROM samples ORDER BY metric, time, series"

says_csv() {
    ask "SELECT 1 AS a, 'x,\"y' AS b, NULL AS c, '' AS d" -d format=csv >/dev/null
    printf 'a,b,c,d\r\n1,"x,""y",,""\r\n' | cmp - "$work/answer"
}

says_lines() {
    ask 'SELECT 1 AS a' -d format=jsonl >/dev/null
    printf '{"a":1}\n{"end":true,"count":1}\n' | cmp - "$work/answer"
}

outputs() {
    claim "CSV has names and rows" says_csv
    claim "lines of JSON have an end" says_lines
    claim "an unknown form is refused" refused 400 'expected json' 'SELECT 1' -d format=xml
    if [[ -d $PEERS/npm/node_modules/hyparquet ]]; then
        ln -s "$(realpath "$PEERS/npm/node_modules")" "$work/node_modules"
        cp tests/api/read_table.mjs "$work"
        claim "hyparquet reads Parquet" same_by parquet parquet
        if [[ -d $PEERS/npm/node_modules/@duckdb ]]; then
            claim "DuckDB reads Parquet" same_by parquet duckdb
        else
            skip "DuckDB reads Parquet" "its npm package is missing"
        fi
        claim "apache-arrow reads Arrow" same_by arrow arrow
    else
        skip "readers of Parquet and Arrow" "npm packages are missing"
    fi
}

hostile() {
    local statement
    for statement in "ATTACH 'x' AS y" 'PRAGMA user_version' 'CREATE TABLE x(a)' 'DELETE FROM samples' 'VACUUM' "VACUUM INTO '/tmp/x'" 'BEGIN' \
        "SELECT load_extension('x')" 'SELECT * FROM pragma_database_list' 'SELECT * FROM dbstat' "SELECT readfile('/etc/passwd')" \
        'SELECT fts3_tokenizer(1)' 'REINDEX' 'ANALYZE' 'DETACH metric' 'SELECT sqlite_version()' 'EXPLAIN DELETE FROM samples'; do
        claim "refused: $statement" refused 400 '"status":"error"' "$statement"
    done
    claim "one statement at a time" refused 400 'one statement' 'SELECT 1; SELECT 2'
    claim "depth is bounded" refused 400 'error' "SELECT $(printf '(%.0s' $(seq 2000))1$(printf ')%.0s' $(seq 2000))"
    claim "lengths are" refused 422 'too big' 'SELECT length(randomblob(2000000))'
    claim "a statement without end is canceled" refused 503 '' 'WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r' -d timeout=1s
    claim "memory is bounded" refused 422 'memory' 'WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 20000000) SELECT count(DISTINCT n || randomblob(100)) FROM r'
    claim "another statement is answered" rows '[[1]]' 'SELECT 1'
}

claim "a server starts" start_firekeep server "$work/data" "$port" --memory.limit=256MiB --query.timeout=20s
claim "samples are written" writes
tables
pushes
functions
outputs
hostile
claim "the server stops" stop server
done_testing
