# shellcheck shell=bash disable=SC2034,SC2154
# backup.sh - backs up a storage directory at rest with 1 GiB of parts, whose bytes do not compress,
# to a directory and to a bucket of s3rver, and restores it, beside `cp -a` and `tar`. All of it is
# in the page cache, and durable at the end. CPU is that of the command, without the bucket's.

backup_about() {
    echo "backup and restore of a directory of 1 GiB, beside cp and tar"
}

backup_load() {
    unfit=(prometheus prometheus3 victoriametrics)
    sizes mib 1024 64
    sizes series 0 0
}

# Makes a storage directory: a sixteenth of the bytes in 16 parts, the rest in 15.
make_stored() {
    local i part
    start_server "$name"
    stop "$name"
    for ((i = 1; i <= 31; i++)); do
        printf -v part '%s/parts/%016x' "$dir" "$i"
        mkdir -p "$part"
        head -c $((i <= 16 ? mib * 4096 : mib * 65536)) /dev/urandom >"$part/part"
    done
    stored=$(du -sb "$dir" | cut -f 1)
    sync -f "$dir"
}

# Notes the rate and the CPU of a command.
time_it() { # KEY COMMAND...
    local key=$1 TIMEFORMAT='%R %U %S' real user system
    shift
    { time "$@" >"$work/said" 2>&1; } 2>"$work/times" || give_up "$key: $(tail -n 1 "$work/said")"
    read -r real user system <"$work/times"
    note "${key}_mib_s" "$(calc "$stored / 1048576 / $real" %.0f)"
    note "${key}_cpu_s_gib" "$(calc "($user + $system) / ($stored / 1073741824)" %.2f)"
}

copied() {
    cp -a "$dir" "$work/copy" && sync -f "$work/copy"
}

packed() {
    tar -C "$dir" -cf "$work/copy.tar" . && sync "$work/copy.tar"
}

# Backs up, backs up again without a change, verifies and restores.
time_place() { # KEY PLACE
    time_it "$1" build/firekeep backup --create "--storage.path=$dir" "$2"
    time_it "$1_again" build/firekeep backup "--storage.path=$dir" "$2"
    time_it "$1_verify" build/firekeep backup verify "--id=$(build/firekeep backup list --format=json "$2" | jq -r '.backups[0].id')" "$2"
    time_it "$1_restore" build/firekeep restore "$2" "$work/restored"
    cmp -s "$dir/parts/0000000000000011/part" "$work/restored/parts/0000000000000011/part" || give_up "$1: it is not the same"
    rm -rf "$work/restored"
}

backup_turn() {
    local stored s3_port
    make_stored
    time_it cp copied
    rm -rf "$work/copy"
    time_it tar packed
    rm "$work/copy.tar"
    time_place directory "$work/backups"
    rm -rf "$work/backups"
    s3_port=$(free_ports 1)
    mkdir "$work/s3"
    start s3 node build/peers/npm/node_modules/s3rver/bin/s3rver.js --address 127.0.0.1 --port "$s3_port" \
        --directory "$work/s3" --silent --no-vhost-buckets --configure-bucket backups
    wait_ready s3 "http://127.0.0.1:$s3_port/" || give_up "s3rver does not start"
    export AWS_REGION=eu-west-1 AWS_ACCESS_KEY_ID=S3RVER AWS_SECRET_ACCESS_KEY=S3RVER
    time_place bucket "s3://backups/x?endpoint=http://127.0.0.1:$s3_port&path_style=true"
    stop s3
    rm -rf "$work/s3"
}

backup_rows() {
    local each
    for each in 'cp|cp -a' 'tar|tar' 'directory|backup to a directory' 'directory_again|  again, nothing is new' \
        'directory_verify|  verify' 'directory_restore|  restore' 'bucket|backup to a bucket' \
        'bucket_again|  again, nothing is new' 'bucket_verify|  verify' 'bucket_restore|  restore'; do
        echo "${each%%|*}_mib_s|${each#*|}, MiB/s|%.0f"
        echo "${each%%|*}_cpu_s_gib|    CPU s/GiB|%.2f"
    done
}
