#!/bin/sh
# embed.sh DIST TO - writes TO/assets.S, which has the files of DIST, compressed, and a table of them
# (src/api/routes.h), in the order of their paths.
set -eu
dist=$1 to=$2
mkdir -p "$to"
{
    echo '.section .rodata'
    number=0
    (cd "$dist" && find . -type f | LC_ALL=C sort | cut -c 3-) >"$to/files"
    while read -r file; do
        gzip -9nc "$dist/$file" >"$to/$number.gz"
        tag=$(sha256sum <"$dist/$file" | cut -c 1-16)
        case $file in
        *.html) type='text/html; charset=utf-8' ;;
        *.js) type='text/javascript; charset=utf-8' ;;
        *.css) type='text/css; charset=utf-8' ;;
        *.svg) type='image/svg+xml' ;;
        *.txt) type='text/plain; charset=utf-8' ;;
        *) echo "embed.sh: unknown type of file: $file" >&2 && exit 1 ;;
        esac
        echo "path$number: .asciz \"/$file\""
        echo "type$number: .asciz \"$type\""
        echo "tag$number: .asciz \"\\\"$tag\\\"\""
        echo "bytes$number: .incbin \"$to/$number.gz\""
        echo "end$number:"
        number=$((number + 1))
    done <"$to/files"
    echo '.section .data.rel.ro, "aw"'
    echo '.balign 8'
    echo '.globl web_assets'
    echo 'web_assets:'
    at=0
    while [ "$at" -lt "$number" ]; do
        echo ".8byte path$at, type$at, tag$at, bytes$at, end$at - bytes$at"
        at=$((at + 1))
    done
    echo '.globl web_assets_end'
    echo 'web_assets_end:'
    echo '.section .note.GNU-stack, "", %progbits'
} >"$to/assets.S"
