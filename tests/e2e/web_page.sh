#!/bin/bash
# web_page.sh - the web page in a real browser: web/test/*.mjs with Chromium; and that web/dist is what
# web/ makes.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
for tool in node npm chromium; do
    command -v "$tool" >/dev/null || skip_all "the web page" "no $tool"
done
read -r port < <(free_ports 1)
url=http://127.0.0.1:$port

# --- what is committed is what is built --------------------------------------------------------------

copy_sources() {
    mkdir -p "$work/web" && cp -r web/src web/test web/*.json web/*.mjs "$work/web" &&
        npm ci --prefix "$work/web" --ignore-scripts --no-audit --no-fund >"$work/npm.log" 2>&1
}

is_rebuilt() {
    (cd "$work/web" && node build.mjs) >"$work/build.log" 2>&1 && diff -rq web/dist "$work/web/dist"
}

has_sound_types() {
    (cd "$work/web" && npx --no-install tsc --noEmit)
}

# Says whether the files together have at most so many bytes, compressed.
is_at_most() { # BYTES FILE...
    local most=$1 size=0 file
    shift
    for file; do
        size=$((size + $(gzip -9nc "$file" | wc -c)))
    done
    ((size <= most)) || {
        echo "$size bytes"
        false
    }
}

copy_sources || skip_all "the web page" "npm cannot fetch its packages: $(tail -n 1 "$work/npm.log")"
claim "web/dist is what web/src builds" is_rebuilt
claim "the types of web/src are sound" has_sound_types
claim "the first load has at most 80 KiB" is_at_most 81920 web/dist/index.html web/dist/assets/{page,chunk,icon}-*
claim "the whole page has at most 320 KiB" is_at_most 327680 web/dist/index.html web/dist/assets/*-*

# --- in a browser ------------------------------------------------------------------------------------

write_samples() {
    local now at
    now=$(date +%s)
    echo '# TYPE requests_total counter'
    echo '# HELP requests_total Requests <b>answered</b>.'
    for path in /a /b '/<img src=x onerror=alert(1)>'; do
        for ((at = now - 3600; at <= now; at += 15)); do
            echo "requests_total{path=\"$path\",job=\"web\"} $(((at - now + 3600) * ${#path})) ${at}000"
        done
    done
}

write_rules() {
    cat <<'END'
groups:
- name: first
  interval: 1s
  rules:
  - {record: "job:requests:rate5m", expr: 'sum by (job) (rate(requests_total[5m]))'}
  - {alert: Always, expr: 'vector(1)', labels: {severity: page}, annotations: {summary: '<script>alert(1)</script>'}}
END
}

write_samples >"$work/samples.txt"
write_rules >"$work/rules.yml"
printf 'rule_files: [rules.yml]\n' >"$work/firekeep.yml"
imports_samples() {
    start_firekeep server "$work/data" "$port" --config.file="$work/firekeep.yml" --web.enable-admin-api &&
        build/firekeep import --url="$url" --format=prometheus "$work/samples.txt"
}
claim "a server has samples and rules" imports_samples || exit 1
# Prints a claim for each test.
(cd "$work/web" && CHROMIUM=$(command -v chromium) URL=$url OUT=$work timeout 170 node test/page.mjs) || failures=1
done_testing
