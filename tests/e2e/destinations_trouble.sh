#!/bin/bash
# destinations_trouble.sh - what is wrong with a destination is said at once.
#
# S3 is s3rver, which checks signatures.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
region=eu-west-1
name_ports firekeep control s3

relay_to() { # NAME
    start_firekeep "$1" "$work/$1" "${port[firekeep]}" --config.file="$work/firekeep.yml" --web.enable-admin-api && within 20 all_open
}

# --- S3 with wrong keys -------------------------------------------------------------------------------

if ! has s3 || ! can_read_aws; then
    skip "keys" "s3rver or boto3 is not there"
elif claim "keys: s3rver is there" start_s3 && claim "keys: the bucket is made" client "$(url_of s3)" make-bucket metrics; then
    echo NOBODY >"$work/key"
    write_config <<END
destinations:
  - name: archive
    type: s3
    region: $region
    bucket: metrics
    endpoint: $(url_of s3)
    path_style: true
    access_key_file: $work/key
    secret_key: S3RVER
    roll_age: 1h
  - name: nowhere
    type: s3
    region: $region
    bucket: absent
    endpoint: $(url_of s3)
    path_style: true
    access_key: S3RVER
    secret_key: S3RVER
    roll_age: 1h
END
    claim "keys: starts" relay_to keys
    claim "keys: wrong ones block at once, with nothing to upload" within 10 is_in_state archive blocked
    claim "keys: and it says why" bash -c "grep -q InvalidAccessKeyId '$work/keys.log'"
    claim "keys: a bucket that is not there, too" within 10 is_in_state nowhere blocked
    claim "keys: it says so" says nowhere NoSuchBucket
    echo S3RVER >"$work/key"
    claim "keys: right ones end that, with nothing uploaded" within 30 is_in_state archive running
    claim "keys: nothing was given up" [ "$(samples dead_lettered_total archive):$(samples dropped_total archive)" == 0:0 ]
    claim "keys: SIGTERM ends it with status 0" stop keys
    stop s3
fi

((failures == 0))
