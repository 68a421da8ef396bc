#!/usr/bin/python3
"""weather.py - changes the metrics of world.py and the targets of Prometheus at random, until it is killed.

    weather.py WORLD_URL TARGETS_FILE SEED

Numbers change, begin and end; targets are added to TARGETS_FILE (for file_sd_configs) and removed;
sometimes all of them are down for some seconds. SEED decides the events; their times depend on the
clock.
"""

import json
import os
import random
import sys
import time
import urllib.parse
import urllib.request

NUMBERS = "abcdef"
TARGETS = ["t1", "t2", "t3"]

world, path, chance = sys.argv[1], sys.argv[2], random.Random(int(sys.argv[3]))
address = urllib.parse.urlsplit(world).netloc
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
present = {"a", "b"}


def tell(**fields):
    opener.open("%s/set?%s" % (world, urllib.parse.urlencode(fields)), timeout=10).close()


def scrape(targets):
    with open(path + ".next", "w") as file:
        json.dump([{"targets": [address], "labels": {"instance": t, "__param_t": t}} for t in targets], file)
    os.replace(path + ".next", path)


def change():
    which = chance.random()
    name = chance.choice(NUMBERS)
    if which < 0.15 and name in present and len(present) > 1:
        present.discard(name)
        tell(**{name: ""})
    elif which < 0.23:
        scrape(chance.sample(TARGETS, chance.randint(1, len(TARGETS))))
    elif which < 0.26:
        tell(down=1)
        time.sleep(chance.uniform(2, 12))
        tell(down=0)
    else:
        present.add(name)
        tell(**{name: chance.randint(0, 100)})


scrape(TARGETS[:2])
while True:
    time.sleep(chance.uniform(0.5, 4))
    change()
