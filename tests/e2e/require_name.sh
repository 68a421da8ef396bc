#!/bin/bash
# require_name.sh - series without __name__: refused in remote write 2.0 and accepted in 1.0 by
# default, or always, or never; refused ones are counted, and only then does a directory need a
# program that knows the reason.

. tests/lib.sh
. tests/wire.sh
port=$(free_ports 1)
url=http://127.0.0.1:$port
t=1700000000000

begin() { # NAME [ARGUMENT...]
    start_firekeep "$1" "$work/data" "$port" --config.file="$work/firekeep.yml" "${@:2}"
}

rule() { # auto|always|never
    printf 'write: {require_name: %s}\nweb: {enable_lifecycle: true}\n' "$1" >"$work/firekeep.yml"
}

reload() {
    rule "$1"
    [[ $(curl -s --noproxy '*' -o "$work/answer" -w '%{http_code}' -XPOST "$url/-/reload") == 200 ]]
}

sample_1() { # VALUE T
    field 2 "$(field_double 1 "$1")$(field_int 2 "$2")"
}

label_1() { # NAME VALUE
    field 1 "$(field_text 1 "$1")$(field_text 2 "$2")"
}

# Makes a 1.0 message: one series with a name, one without.
message_1() { # T
    printf %s "$(field 1 "$(label_1 __name__ up)$(label_1 job a)$(sample_1 1 "$1")")"
    printf %s "$(field 1 "$(label_1 job a)$(label_1 zone b)$(sample_1 2 "$1")")"
}

histogram() { # T: count 5, sum 12
    field 3 "$(field_int 1 5)$(field_double 3 12)$(field_int 6 5)$(field_int 15 "$1")"
}

# Makes a 2.0 message: a series with a name; one without, and one whose name is empty, with a
# sample, a histogram and an exemplar.
message_2() { # T
    local text
    for text in '' __name__ up job a zone b; do
        field_text 4 "$text"
    done
    field 5 "$(packed 1 1 2 3 4)$(field 2 "$(field_double 1 1)$(field_int 2 "$1")")"
    field 5 "$(packed 1 3 4 5 6)$(field 2 "$(field_double 1 2)$(field_int 2 "$1")")$(
        )$(field 4 "$(packed 1 5 6)$(field_double 2 7)$(field_int 3 "$1")")"
    field 5 "$(packed 1 1 0 5 6)$(histogram "$1")"
}

taken_1() {
    t=$((t + 1000))
    send_1 "$(message_1 $t)"
    status_is 204
}

refused_1() {
    t=$((t + 1000))
    send_1 "$(message_1 $t)"
    status_is 400 'refused: 1 missing_name; missing_name at '
}

taken_2() {
    t=$((t + 1000))
    send_2 "$(message_2 $t)"
    status_is 204 && written_is 2 1 1
}

refused_2() {
    t=$((t + 1000))
    send_2 "$(message_2 $t)"
    status_is 400 'refused: 3 missing_name; missing_name at ' && written_is 1 0 0
}

# Checks the number of series with a sample at the last time.
reads() { # COUNT
    local got
    got=$(curl -s --noproxy '*' -G "$url/api/v1/series" -d 'match[]={job="a"}' -d 'match[]={zone="b"}' \
        -d start=$((t / 1000)) -d end=$((t / 1000)) | jq '.data | length')
    [[ $got == "$1" ]] || { echo "$got series instead of $1"; return 1; }
}

counted() { # FLOATS HISTOGRAMS EXEMPLARS
    metric_is 'firekeep_samples_rejected_total{.*kind="float",reason="missing_name"}' "$1" &&
        metric_is 'firekeep_samples_rejected_total{.*kind="histogram",reason="missing_name"}' "$2" &&
        metric_is 'firekeep_samples_rejected_total{.*kind="exemplar",reason="missing_name"}' "$3"
}

manifest_version_is() {
    [[ $(od -An -tu2 -j10 -N2 "$work/data/MANIFEST" | tr -d ' ') == "$1" ]]
}

refuses_the_rule() {
    ! build/firekeep serve --write.require-name=sometimes 2>"$work/refusal" || return 1
    cat "$work/refusal"
    grep -q 'write.require-name: expected one of auto, always, never' "$work/refusal"
}

rule auto
claim "starts" begin auto || exit 1
claim "auto: 1.0 without a name is taken" taken_1
claim "auto: and read" reads 2
stop auto
claim "auto: nothing was refused: older programs read the directory" manifest_version_is 2
claim "auto: starts again" begin auto
claim "auto: 2.0 without a name is refused, the rest stored, and counted in the answer" refused_2
claim "auto: only the rest is read" reads 1
claim "auto: what was refused is counted by kind" counted 1 1 1
claim "auto: what 1.0 brought is not taken from 2.0 either" refused_2
crash auto
claim "auto: starts after a crash" begin auto
claim "auto: what was refused is still counted" counted 2 2 2
claim "always: a reload refuses 1.0, too" reload always
claim "always: 1.0 without a name is refused, the rest stored" refused_1
claim "always: only the rest is read" reads 1
claim "always: 2.0 without a name is refused" refused_2
claim "never: a reload takes 2.0, too" reload never
claim "never: 2.0 without a name is taken" taken_2
claim "never: all of it is read" reads 3
claim "never: 1.0 without a name is taken" taken_1
claim "never: nothing more was refused" counted 4 3 3
claim "a rule that is none is refused" refuses_the_rule
stop auto
claim "the directory says that it needs a program that knows the reason" manifest_version_is 4
claim "verify finds nothing wrong" build/firekeep verify "$work/data"
claim "a flag says it as well" begin flag --write.require-name=always
claim "always: 1.0 is refused by the flag" refused_1
stop flag
done_testing
