#!/bin/bash
# destinations_tenants.sh - with tenants, each destination gets the samples of the tenants that it
# names, which stay visible there: in a header, a label or a path. A configuration that would mix
# them is refused.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
mapfile -t ports < <(free_ports 3)
url=http://127.0.0.1:${ports[0]}
there=http://127.0.0.1:${ports[1]}
spare=${ports[2]}
firekeep=build/firekeep

# --- configurations that would mix them ---------------------------------------------------------------

is_refused() { # LINES-OF-A-DESTINATION PATTERN
    printf 'tenancy: {enabled: true}\ndestinations:\n  - {name: a, %s}\n' "$1" >"$work/refused.yml"
    ! "$firekeep" check "$work/refused.yml" 2>"$work/said.txt"
    local status=$?
    cat "$work/said.txt"
    ((status == 0)) && grep -q -e "$2" "$work/said.txt"
}
claim "who names no tenants is refused" is_refused "type: file, path: /x" tenants
claim "all of them into one path are refused" is_refused "type: file, path: /x, tenants: all" tenant
claim "two of them into one table are refused" \
    is_refused "type: timestream, region: r, database: d, table: t, tenants: [a, b]" tenant
claim "two of them at one store are refused" is_refused "type: remote_write, url: 'http://x/', tenants: [a, b]" tenant_header

# --- samples of each tenant ---------------------------------------------------------------------------

write_config <<END
tenancy: {enabled: true}
destinations:
  - name: twin
    type: remote_write
    url: $there/api/v1/write
    tenants: all
    tenant_header: X-Scope-OrgID
    batch: {max_age: 100ms}
  - name: paths
    type: file
    path: $work/paths/\${tenant}
    tenants: [red, blue]
    batch: {max_age: 100ms}
  - name: label
    type: file
    path: $work/label
    tenants: [red, green]
    tenant_label: team
    batch: {max_age: 100ms}
  - name: one
    type: file
    path: $work/one
    tenants: [blue]
    batch: {max_age: 100ms}
END
tenants=(red green blue)
every_kind >"$work/all.txt"
grep -v -e '^late' "$work/all.txt" >"$work/red.txt"
grep -e '^late' -e '^@histogram' "$work/all.txt" >"$work/green.txt"
echo 'late 7 1680000000001' >"$work/blue.txt" # another value of a series of green's
for tenant in "${tenants[@]}"; do
    "$TOOLS/rwmake" --version 2 <"$work/$tenant.txt" >"$work/$tenant.rw"
done

claim "the other server starts" start_firekeep twin "$work/twin" "${ports[1]}" --tenancy.enabled
claim "it starts" start_firekeep here "$work/here" "${ports[0]}" --config.file="$work/firekeep.yml"
for tenant in "${tenants[@]}"; do
    claim "$tenant: writes are acknowledged" is_acknowledged "$work/$tenant.rw" --header "X-Scope-OrgID: $tenant"
done
claim "twin: all are delivered" within 20 has_delivered twin 18
claim "paths: those of red and blue are" within 20 has_delivered paths 13
claim "label: those of red and green are" within 20 has_delivered label 17
claim "one: that of blue is" within 20 has_delivered one 1
for name in twin paths label one; do
    claim "$name: the account is right" balances "$name"
done
for tenant in "${tenants[@]}"; do
    claim "$tenant: the other server has the same under its name" \
        "$TOOLS/rrcompare" "$there" "$work/$tenant.rw" "${whole[@]}" --header "X-Scope-OrgID: $tenant"
done
crash here
claim "it starts again after SIGKILL" start_firekeep here "$work/here" "${ports[0]}" --config.file="$work/firekeep.yml"
claim "it opens all of them" within 20 all_open
claim "SIGTERM ends it with status 0" stop here
stop twin

for tenant in red blue; do
    claim "$tenant: its path has what is its" imports_as "$work/paths/$tenant" "$work/$tenant.rw"
done
claim "nobody else has a path" [ "$(cd "$work/paths" && echo *)" == "blue red" ]
claim "one: it has what is blue's" imports_as "$work/one" "$work/blue.rw"
teams_of() { # number of lines of each
    cat "$work/label"/* | jq -r .labels.team | sort | uniq -c | awk '{ print $2 ":" $1 }' | paste -sd ' '
}
is_labelled() {
    teams_of
    [[ $(teams_of) == "green:5 red:13" ]] # an exemplar has a line of its own
}
claim "label: each line says whose it is" is_labelled

done_testing
