#!/usr/bin/python3
"""rules_lag.py TIMES RULES TIMES - measures the delay of the groups of the benchmark `rules`.

TIMES are responses of /api/v1/query?query=bench:group_time, RULES is one of /api/v1/rules between
them: each group records the time for which it is evaluated. Groups whose time changed between the
two TIMES are left out.

Prints lag_p50_ms and lag_max_ms: from that time until the group's last rule was evaluated."""
import datetime
import json
import re
import sys


def times(path):
    with open(path, encoding="utf-8") as file:
        series = json.load(file)["data"]["result"]
    return {"%(part)s-%(number)s" % s["metric"]: float(s["value"][1]) for s in series}


def unix(text):
    seconds, fraction, zone = re.fullmatch(r"(.{19})(\.\d+)?(.*)", text).groups()
    whole = datetime.datetime.fromisoformat(seconds + zone.replace("Z", "+00:00")).timestamp()
    return whole + float(fraction or 0)


before, after = times(sys.argv[1]), times(sys.argv[3])
with open(sys.argv[2], encoding="utf-8") as answer:
    groups = json.load(answer)["data"]["groups"]
lags = []
for group in groups:
    time = before.get(group["name"])
    if time is None or after.get(group["name"]) != time:
        continue
    ends = [unix(r["lastEvaluation"]) + r["evaluationTime"] for r in group["rules"]]
    lags.append((max(ends) - time) * 1000)
lags.sort()
if lags:
    print("lag_p50_ms=%.1f\nlag_max_ms=%.1f" % (lags[len(lags) // 2], lags[-1]))
