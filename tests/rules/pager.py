#!/usr/bin/env python3
"""pager.py - both ends of alerts: sends the series of the alerts to a server, by remote write, and receives the
notifications of Alertmanagers. As it knows when each alert is true, it can check its notifications.

    pager.py ADDRESS PORT WRITE_URL SEED EPISODES WAIT_S

Each of ALERTS series is EPISODES times above 50, for HIGH_S seconds, and below for LOW_S in
between; the first ones begin within FIRST_S. Such an episode must be notified as firing and then as
resolved, each at least once, with the times of the evaluations that had to see it. Repeated
notifications need an explanation, and troubles of the sender of alerts are not one. The cluster
only promises to notify at least once:

  - Troubles of its members explain repeated notifications until TROUBLED_S later.
  - A member decides what to notify, and then waits, for up to WAIT_S, whether another one does. It may learn
    that too late; and an alert that it notifies as firing may have been resolved meanwhile, and is then notified as
    resolved again.

    POST /MEMBER                    a notification by this Alertmanager
    GET  /trouble?what=W&of=cluster something happens to members; of=sender: to the sender of alerts; of=both
    GET  /healed                    it is over
    GET  /open                      episodes that have not begun, have not ended, or lack a notification
    GET  /verdict                   figures; status 409 and the errors, if there are any
    GET  /log                       all events, one line of JSON each
"""

import calendar
import collections
import json
import random
import struct
import sys
import threading
import time
import urllib.parse

import actor

ALERTS = 200
# Seconds after the first sample, and after the last, within which the evaluation is that makes it so: the alerts of
# e2e/alerts_cluster.sh are evaluated each 5 s, `waits` pending and `kept` kept firing as long.
KINDS = {"at_once": (5, 5), "waits": (10, 5), "kept": (5, 10)}
FIRST_S, HIGH_S, LOW_S = (2, 32), (30, 45), (26, 45)
TROUBLED_S = 6  # the next time that a member looks at a group, each 5 s
STANDSTILL_S = 10
SHOWN = 30  # sentences of what is wrong
# Later at most for each time that who evaluates was in trouble: away for 3 s, a start of 2 s, and the next evaluation. While
# an alert is pending that does not count, so that several times add up.
SENDER_S = 10

EPISODES, WAIT_S = int(sys.argv[5]), float(sys.argv[6])

lock = threading.Lock()
log = []


def note(**what):
    log.append(dict(t=round(time.time(), 3), **what))


class Series:
    def __init__(self, number, now, chance):
        self.name = "%03d" % number
        self.kind = list(KINDS)[number % len(KINDS)]
        self.labels = {"__name__": "load", "kind": self.kind, "n": self.name}
        self.next = now + chance.uniform(*FIRST_S)
        self.is_high = False
        self.episodes = []

    def value(self, now, chance):
        """At a time, which no other is above."""
        if now >= self.next and (self.is_high or len(self.episodes) < EPISODES):
            self.is_high = not self.is_high
            self.next = now + chance.uniform(*(HIGH_S if self.is_high else LOW_S))
            if self.is_high:
                self.episodes.append(Episode(self, now))
            else:
                self.episodes[-1].ends = now
            note(alert=self.name, holds=self.is_high)
        return chance.uniform(60, 100) if self.is_high else chance.uniform(0, 40)


class Episode:
    def __init__(self, series, now):
        self.series = series
        self.begins, self.ends = now, None
        self.taken = []      # when the server had acknowledged the first sample, and the one after the last
        self.status = None  # the last notified status
        self.notified = {"firing": [], "resolved": []}  # when
        self.starts = set()  # startsAt of notifications
        self.ended = None    # endsAt, of the first

    def are_taken(self, until):
        """Samples until then."""
        for number, at in enumerate((self.begins, self.ends)):
            if at is not None and at <= until and len(self.taken) == number:
                self.taken.append(time.time())

    def __str__(self):
        return "alert %s of %s" % (self.series.name, time.strftime("%H:%M:%S", time.gmtime(self.begins)))


class Data(threading.Thread):
    """Sends a sample of each series each second; what a server did not take, once more."""

    def __init__(self, url, seed):
        super().__init__(daemon=True)
        self.url, self.chance = url, random.Random(seed)
        self.series = [Series(i, time.time(), self.chance) for i in range(ALERTS)]
        self.waiting = collections.deque()

    def run(self):
        second = int(time.time())
        while True:
            if time.time() - second > STANDSTILL_S:
                wrong.insert(0, "the machine stood still for %d s" % (time.time() - second))
                second = int(time.time())
            while second < time.time():
                with lock:
                    values = [s.value(second, self.chance) for s in self.series]
                self.waiting.append((second * 1000, values))
                second += 1
            while self.waiting and self.send(list(self.waiting)[:60]):
                pass
            time.sleep(max(0.1, second - time.time()) if not self.waiting else 0.2)

    def send(self, ticks):
        if not actor.write(self.url, [(sorted(series.labels.items()),
                                       [(struct.pack("<d", values[number]), t_ms) for t_ms, values in ticks])
                                      for number, series in enumerate(self.series)]):
            return False
        with lock:
            for series in self.series:
                for episode in series.episodes:
                    episode.are_taken(ticks[-1][0] / 1000)
        for _ in ticks:
            self.waiting.popleft()
        return True


# --- notifications -------------------------------------------------------------------------------

wrong = []       # sentences
again = []  # for each: the episode, the kind, since when that was known, when it came, from whom
notifications = 0
members = collections.Counter()
troubles = []    # [what, of, from, until]


def seconds_of(text):
    """Seconds of a time with a fraction and Z, or with a zone of 0 hours."""
    text = text.replace("+00:00", "").rstrip("Z")
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + float("0" + (text[19:] or ".0"))


def episode_of(series, starts):
    for episode in reversed(series.episodes):
        if episode.begins <= starts:
            return episode
    return None


def take(member, alert, now):
    status, starts = alert["status"], seconds_of(alert["startsAt"])
    series = data.series[int(alert["labels"]["n"])]
    episode = episode_of(series, starts)
    note(member=member, alert=series.name, status=status, starts=starts, ends=alert["endsAt"])
    if episode is None or (episode.ends is not None and starts > episode.ends):
        wrong.append("alert %s did not hold at %s" % (series.name, alert["startsAt"]))
        return
    if status == "resolved" and (episode.ends is None or now < episode.ends):
        wrong.append("%s was notified as resolved by %s while it held" % (episode, member))
    if status == "resolved" and episode.ended is None:
        episode.ended = seconds_of(alert["endsAt"])
    before, episode.status = episode.status, status
    episode.starts.add(starts)
    if before == status:
        again.append((episode, "%s twice" % status, episode.notified[status][-1], now, member))
    elif before == "resolved":
        again.append((episode, "firing when it was over", episode.notified["resolved"][-1], now, member))
    elif episode.notified[status]:
        again.append((episode, "resolved after that", episode.notified["firing"][-1], now, member))
    episode.notified[status].append(now)


def notified(member, body):
    global notifications
    with lock:
        notifications += 1
        members[member] += 1
        for alert in json.loads(body)["alerts"]:
            take(member, alert, time.time())


def is_open(episode):
    return episode.ends is None or episode.status != "resolved" or not episode.notified["firing"]


def open_count():
    episodes = all_episodes()
    return ALERTS * EPISODES - len(episodes) + sum(map(is_open, episodes))


def all_episodes():
    return [episode for series in data.series for episode in series.episodes]


def explained_by(how, known, came):
    """None: by nothing."""
    for what, of, begins, ends in reversed(troubles):
        if of != "sender" and begins <= came and (ends is None or known <= ends + TROUBLED_S):
            return what
    if how == "resolved after that":
        return "as it has to be"
    if came - known > WAIT_S + 1:
        return None
    return "had been decided before" if how == "firing when it was over" else "had not been heard of in time"


def is_late(at, expected, within):
    """Says whether an evaluation took more than 1 s longer than permitted to see the change, which was stored then."""
    disturbed = sum(of != "cluster" and begins <= at and (ends is None or expected <= ends + within)
                    for _, of, begins, ends in troubles)
    return at > expected + within + 1 + SENDER_S * disturbed


def spread(numbers):
    numbers = sorted(numbers)
    if not numbers:
        return "none"
    return "median %.1f s, 99 of 100 within %.1f s, all within %.1f s" % (
        numbers[len(numbers) // 2], numbers[len(numbers) * 99 // 100], numbers[-1])


def verdict():
    episodes = all_episodes()
    bad = list(wrong)
    firing, resolved = [], []
    for e in episodes:
        if not e.notified["firing"]:
            bad.append("%s was never notified as firing" % e)
        elif not e.notified["resolved"]:
            bad.append("%s was never notified as resolved" % e)
        else:
            firing.append(e.notified["firing"][0] - e.begins)
            resolved.append(e.notified["resolved"][0] - e.ends)
            fires_within, over_within = KINDS[e.series.kind]
            if is_late(min(e.starts), e.taken[0], fires_within):
                bad.append("%s is said to fire %.1f s after it began" % (e, min(e.starts) - e.begins))
            if is_late(e.ended, e.taken[1], over_within):
                bad.append("%s is said to be over %.1f s after it was" % (e, e.ended - e.ends))
        if len(e.starts) > 1:
            bad.append("%s fired %d times: %s" % (e, len(e.starts), sorted(e.starts)))
        if e.notified["firing"] and e.status != "resolved":
            bad.append("%s was last notified as %s" % (e, e.status))
    causes = collections.Counter()
    for episode, how, known, came, member in again:
        cause = explained_by(how, known, came)
        if cause is None:
            bad.append("%s was notified as %s, by %s after %.1f s, and nothing had happened" % (
                episode, how, member, came - known))
        causes["%s: %s" % (how, cause)] += 1
    if len(bad) > SHOWN:
        bad[SHOWN:] = ["and %d more" % (len(bad) - SHOWN)]
    lines = ["%d episodes of %d alerts; %d notifications, %s" % (
        len(episodes), ALERTS, notifications, ", ".join("%d by %s" % (n, m) for m, n in sorted(members.items())))]
    lines.append("troubles: %s" % ", ".join(
        "%d %s" % (n, w) for w, n in sorted(collections.Counter(t[0] for t in troubles).items())))
    lines.append("notified as firing after the first sample: %s" % spread(firing))
    lines.append("notified as resolved after the last one: %s" % spread(resolved))
    lines.append("%d notifications more than needed" % len(again))
    lines += ["  %d %s" % (n, cause) for cause, n in sorted(causes.items())]
    return bad, lines


class Pager(actor.Handler):
    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        fields = dict(urllib.parse.parse_qsl(url.query))
        with lock:
            if url.path == "/trouble":
                troubles.append([fields["what"], fields["of"], time.time(), None])
                note(trouble=fields["what"])
                self.answer("")
            elif url.path == "/healed":
                troubles[-1][3] = time.time()
                note(healed=troubles[-1][0])
                self.answer("")
            elif url.path == "/open":
                self.answer("%d\n" % open_count())
            elif url.path == "/verdict":
                bad, lines = verdict()
                self.answer("\n".join(bad + lines) + "\n", 409 if bad else 200)
            elif url.path == "/log":
                self.answer("".join(json.dumps(line) + "\n" for line in log))
            else:
                self.answer("not found\n", 404)

    def do_POST(self):
        notified(self.path[1:], self.rfile.read(int(self.headers["Content-Length"])))
        self.answer("")


data = Data(sys.argv[3], int(sys.argv[4]))
data.start()
actor.Server((sys.argv[1], int(sys.argv[2])), Pager).serve_forever()
