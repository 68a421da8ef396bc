#!/usr/bin/python3
"""forge_identity.py - makes a copied storage directory look like the one that it is a copy of, as a volume that is
rolled back does: its IDENTITY names the files of the copy (docs/format/manifest.md).

    forge_identity.py DIRECTORY

Python's standard library and stat of GNU coreutils are all it needs.
"""

import struct
import subprocess
import sys

POLYNOMIAL = 0x82F63B78


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def nanoseconds(text):
    seconds, _, rest = text.partition(".")
    return 0 if seconds in ("-", "0") and not rest.strip("0") else int(seconds) * 10**9 + int(rest.ljust(9, "0"))


def main(directory):
    path = directory + "/IDENTITY"
    with open(path, "rb") as file:
        content = bytearray(file.read())
    slot = struct.unpack_from("<Q", content, 40)[0]
    told = subprocess.run(
        ["stat", "-c", "%i %.9W %.9Z", f"{directory}/WITNESS.{slot}", directory], stdout=subprocess.PIPE, check=True, text=True
    )
    number, born, changed, dir_number, dir_born, _ = told.stdout.split()
    struct.pack_into("<QqqQq", content, 48, int(number), nanoseconds(born), nanoseconds(changed), int(dir_number), nanoseconds(dir_born))
    struct.pack_into("<I", content, 20, crc32c(content[:20] + content[24:]))
    with open(path, "r+b") as file:
        file.write(content)


main(sys.argv[1])
