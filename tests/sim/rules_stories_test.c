/*
 * rules_stories_test.c - events in the life of a server with rules, and its records and alerts
 * after them.
 */
#include "sim/rules_story.h"

#define H(rules)    "- {name: h, interval: 30s, rules: [" rules "]}\n"
#define ONE         "{record: one, expr: vector(1)}"
#define ONE_CHANGED "{record: one, expr: vector(2)}"
#define TOTAL       "{record: total, expr: sum(requests_total)}"
#define ANY         "{alert: Any, expr: load}"
#define LONG        "{alert: Long, expr: vector(1), for: 15m}"
/* A story begins at midnight. */
#define EARLY(seconds) "{record: early, expr: 'vector(time() % 86400) < " seconds "'}"
#define BRIEF          "expr: 'vector(time() % 300) < 30'"

#define READERS(more)                                                   \
    "groups:\n- {name: g, interval: 15s, rules: [" ALWAYS more "]}\n"   \
    "- {name: h, interval: 15s, rules: [{record: again, expr: always}," \
    " {alert: Again, expr: always > 0}]}\n"
#define REFUSED_ON "540s accept 300s count again $+900/15..$+900/15+1 stale again 0 firing"
#define REFUSAL    "refuse 30s accept 20s "
#define REFUSALS   REFUSAL REFUSAL REFUSAL REFUSAL REFUSAL
#define BOTH_END                                                   \
    "{record: early, expr: 'vector(time() % 86400) > 270 < 290'}," \
    "{record: late, expr: 'vector(time() % 86400) > 310 < $'}"
#define TWINS(of_a, of_other)                                                     \
    "groups:\n- {name: a, interval: 30s, labels: " of_a ", rules: [" FIRES "]}\n" \
    "- {name: '#', interval: 30s, labels: " of_other                              \
    ", rules: [{alert: Fires, expr: 'vector(1) > 2'}]}\n"
#define TWO_AS_ONE \
    "expr: 'label_replace(vector(1), \"x\", \"y\", \"\", \"\") or vector(2)', labels: {x: z}"
#define SAME_LABELS(of)                                                                           \
    "\"lastError\":\"vector_contains_metrics_with_the_same_labelset_after_applying_" of "_labels" \
    "\""
#define OF(group)  "{record: of, expr: vector(1), labels: {group: " group "}}"
#define TEAM(name) "{record: r, labels: {team: " name "}, expr: vector(time() % 86400) <= 240}"

/* The rule returns the series d for two minutes, then a, and b up to a time: two series exceed the
 * limit of one. Another rule of the group reads a group that is new after a reload, so that a fill
 * makes the evaluations until that group has begun. */
#define SERIES(n)      "(label_replace(vector(1), \"n\", \"" n "\", \"\", \"\") "
#define SINCE(seconds) "on() (vector(time() % 86400) >= " seconds ")"
#define D_THEN_A       SERIES("d") "unless " SINCE("120") ") or " SERIES("a") "and " SINCE("120")
#define THEN_B(until)  SERIES("b") "and " SINCE("120") " unless " SINCE(until)
#define GROWS(limit, until, other)                                                               \
    "groups:\n- {name: g, interval: 30s, limit: " limit ", rules: [{record: r, expr: '" D_THEN_A \
    ") or " THEN_B(until) ")'}, {record: reads, expr: r + on() " other "}]}\n"                   \
                          "- {name: other, interval: 1m, rules: [{record: " other                \
                          ", expr: vector(1)}]}\n"

/* Some of the rules read results of others, or series that are never sent. */
#define RULES                                                                           \
    "groups:\n"                                                                         \
    "- {name: first, interval: 30s, rules: ["                                           \
    "{record: 'job:requests:rate2m', expr: 'sum by (job) (rate(requests_total[2m]))'}," \
    "{record: 'load:high', expr: load > 50},"                                           \
    "{record: 'load:over', expr: load > 30, labels: {than: '30'}},"                     \
    "{record: 'load:over', expr: load > 60, labels: {than: '60'}},"                     \
    "{record: 'job:requests:rate2m:max', expr: 'max(job:requests:rate2m)'}]}\n"         \
    "- {name: second, interval: 1m, rules: ["                                           \
    "{record: 'job:requests:hour', expr: 'sum_over_time(job:requests:rate2m[20m])'},"   \
    "{record: 'load:high:count', expr: 'count by (job) (load:high)'}]}\n"               \
    "- {name: third, interval: 20s, rules: [" ALWAYS                                    \
    ", {record: 'always:before', expr: always offset 1m}]}\n"                           \
    "- {name: fourth, interval: 30s, rules: ["                                          \
    "{record: 'none:absent', expr: absent(nobody_sends)},"                              \
    "{record: 'none:rate', expr: 'sum(rate(nobody_sends[2m])) or vector(0)'}]}\n"
#define SAME   "same always.*|job:.*|load:.*|none:.*"
#define OUTAGE "crash 20+?900s start 0 30+?300s "

static char wide[2][32768];

static const struct story stories[] = {
    /* --- output and logs; first, as the log has seen no other clock ------------ */
    STORY("a rule that fails all the time is logged once a minute", "300s warnings 5..6",
          EACH("1s", "{record: r, " TWO_AS_ONE "}")),
    STORY("a rule that fails for all of a gap is logged once a minute",
          "300s crash 1200s start 0 60s filled 41 warnings 2..5",
          G(ALWAYS ", {record: fails, expr: 'load + on () load'}")),
    STORY("values of a gap that differ from stored ones are logged once a minute",
          "300s mute 900s speak lose-log-from 600 crash 30s start 0 120s warnings 1",
          G("{record: seen, expr: 'count(load) or vector(0)'}")),
    STORY("results that a recording rule makes the same are refused",
          "60s begin end shows " SAME_LABELS("rule"), G("{record: r, " TWO_AS_ONE "}")),
    STORY("results that an alerting rule makes the same are refused",
          "60s begin end shows " SAME_LABELS("alert"), G("{alert: A, " TWO_AS_ONE "}")),
    STORY("a rule whose query cannot begin has the time of its evaluation",
          "60s begin unreadable end shows \"lastError\":\"the_test_says_no\" hides "
          "\"0001-01-01T00:00:00Z\"",
          G(ALWAYS)),

    /* --- gaps --- */
    STORY("an evaluation due in a short outage waits for its input",
          "for 0..54+6: 1200s $s crash 40s mute start 0 15s speak speed 20 4800s same rate",
          EACH("1m", "{record: rate, expr: 'rate(requests_total[1m])'}")),
    STORY("an evaluation due in a short sleep waits for its input",
          "for 0..54+6: 1200s $s mute clock 40 15s speak speed 20 4800s same rate",
          EACH("1m", "{record: rate, expr: 'rate(requests_total[1m])'}")),
    STORY("alerts that read recorded series wait with them in a short outage",
          "for 0..54+6: 1200s $s crash 40s mute start 0 550s sent 0",
          "groups:\n- {name: g, interval: 1m, rules: [" TOTAL
          "]}\n" H("{alert: A, expr: absent(total)}")),
    STORY("alerts fire though the store refuses again and again",
          "300s load 1 " REFUSALS REFUSALS REFUSALS "firing", G(ALWAYS),
          G(ALWAYS ", {alert: Brief, expr: vector(1)}")),
    STORY("alerts await their input after the clock was set forward",
          "1200s mute clock 3600 300s clock -3600 speak 300s firing", G(SENT)),
    /* Without the pause it would fire after 900 seconds; it waits for the grace time after that. */
    STORY("a pause of the process does not count towards the time of an alert",
          "600s clock 900 570s sent 0 60s firing", G(LONG)),
    STORY("a group changed after an outage does not count it towards an alert",
          "600s crash 900s start 0 1s load 1 569s sent 0 60s firing", G(LONG), G(LONG ", " ALWAYS)),
    STORY("a group that is changed after an outage awaits its input still",
          "120s crash 600s mute start 0 60s load 1 forget 180s firing", G(SENT),
          G(SENT ", " ALWAYS)),
    STORY("a group changed after an outage records nothing from half its input",
          "300s crash 600s mute start 0 60s load 1 90s speak 450s count total 49..50 stale total 0",
          G(TOTAL), G(TOTAL ", " ALWAYS)),
    /* The group read recorded series only, so its input seemed to be complete. */
    STORY("a group with new rules after an outage waits for all of its input",
          "for 300..327+3: $s crash 600s mute start 0 60s load 1 90s speak 450s "
          "count more 39..41 stale more 0",
          G("{record: again, expr: total}") H(TOTAL),
          G("{record: more, expr: sum(requests_total)}") H(TOTAL)),
    /* With the last value, the first outage began before the range in which alerts are looked for.
     */
    STORY("after another crash alerts wait for input and fire since then",
          "for 70,1200,3300: 240s crash 600s mute start 0 90s crash $s start 0 60s load 0 "
          "forget 180s firing speak 120s firing still-firing",
          G(SENT)),
    STORY("after two more crashes alerts wait for input and fire since then",
          "for 70,1200,3300: 240s crash 600s mute start 0 90s crash $s start 0 60s crash $s "
          "start 0 60s load 0 forget 180s firing speak 120s firing still-firing",
          G(SENT)),
    STORY("after a sleep of any length and a crash alerts wait for input",
          "240s mute clock 5*3600 60s crash start 0 forget 180s firing", G(SENT)),
    STORY("alerts of a renamed group await their input still",
          "240s crash 600s mute start 0 90s load 1 forget 180s firing speak 120s firing", G(SENT),
          GROUP("other", SENT)),
    STORY("after another crash alerts of a renamed group wait for input",
          "240s crash 600s mute start 0 90s crash 70s start 0 60s load 1 forget 180s firing "
          "speak 120s firing",
          G(SENT), GROUP("other", SENT)),
    /* The group that the rule left marks its series stale, and forgets its alerts. */
    STORY("alerts of a rule moved at wake-up wait for input after a crash",
          "for 0..29: 300s mute clock 1800+$ load 1 60s crash start 1 forget 180s firing",
          G(ALWAYS ", " SENT), G(ALWAYS) H(SENT)),
    /* The machine fell asleep before the range in which alerts are looked for. */
    STORY("alerts of a rule moved at a late wake-up wait after a crash",
          "for 0..29: 300s mute clock 3300+$ load 1 400s crash start 1 forget 180s firing",
          G(ALWAYS ", " SENT), G(ALWAYS) H(SENT)),
    STORY("input that does not come back is awaited for no longer than configured",
          "240s crash 600s mute start 0 570s firing 90s ended 0..90", G(SENT)),
    STORY("a series that ends while the store refuses is stale unless filled",
          "catch-up 0 load 1 295s refuse 40s accept stale early 0 60s stale early 1", G(ALWAYS),
          G(EARLY("300"))),
    STORY("a series missing at the first evaluation of a new interval is stale",
          "for 1..4: 290s load $ 130s stale early 1", EACH("30s", EARLY("400")),
          EACH("15s", EARLY("0")), EACH("20s", EARLY("0")), EACH("1m", EARLY("0")),
          EACH("45s", EARLY("0"))),
    STORY("a series that ends before a restart at a new interval is stale once",
          "for 200..290+5: 280s crash start 1 100s stale early 1", EACH("1m", EARLY("$")),
          EACH("15s", EARLY("$"))),
    STORY("a series is stale once if its interval changes before a crash",
          "for 200..290+5: 280s load 1 3s crash start 1 100s stale early 1", EACH("1m", EARLY("$")),
          EACH("15s", EARLY("$"))),
    STORY("a series is stale once if a crash comes before a new interval begins",
          "for 200..290+5: 280s load 1 12s crash start 1 160s stale early 1",
          EACH("15s", EARLY("$")), EACH("1m", EARLY("$"))),
    STORY("a series is stale once if its interval changes twice around a crash",
          "for 200..290+5: 280s crash 90s start 1 3s load 2 160s stale early 1",
          EACH("1m", EARLY("$")), EACH("15s", EARLY("$")), EACH("20s", EARLY("$"))),
    STORY("a new interval owes no earlier evaluation, also after a restart",
          "280s load 1 25s crash start 1 60s count one 7..9", EACH("5m", ONE), EACH("13s", ONE)),
    /* After a refusal, senders are awaited for half a minute. */
    STORY("a new interval owes no earlier evaluation if the first is filled",
          "280s load 1 refuse 13s accept 12s crash start 1 60s count one 7..9", EACH("5m", ONE),
          EACH("13s", ONE)),
    /* The store refuses for longer than a query looks back: an evaluation at the first moment after
     * that finds nothing. */
    STORY("readers wait for recorded series however long the store refuses",
          "for 300..314: $s forget refuse 60s load 0 " REFUSED_ON, READERS("")),
    STORY("readers wait for recorded series after a restart on a full disk",
          "for 300..314: $s forget refuse 60s crash start 0 " REFUSED_ON, READERS("")),
    STORY("readers wait if a restart on a full disk finds other rules",
          "for 300..314: $s forget refuse 60s crash start 1 " REFUSED_ON, READERS(""),
          READERS(", {record: more, expr: vector(2)}")),
    STORY("readers wait for recorded series if rules change on a full disk",
          "for 300..314: $s forget refuse 60s load 1 " REFUSED_ON, READERS(""),
          READERS(", {record: more, expr: vector(2)}")),
    STORY("evaluations refused at another interval are filled after a reload",
          "300s load 1 refuse 300s load 2 accept 60s count one 45..47", EACH("30s", ONE),
          EACH("10s", ONE), EACH("10s", ONE_CHANGED)),
    STORY("alerts are held after a sleep if the interval changes at wake-up",
          "290s mute clock 1800 load 1 forget 60s firing", EACH("30s", ANY), EACH("15s", ANY)),
    STORY("a clock that jumps forward and back around a reload leaves no hole",
          "own-clock 300s clock 340 45s clock -340 load 1 1s clock 170 60s clock -170 494s "
          "count load:sum 29..30",
          G("{record: 'load:sum', expr: sum(load)}, " ANY),
          G("{record: 'load:sum', expr: 1 * sum(load)}, " ANY)),
    /* The clock is ahead for longer than input is awaited, and no sample has its times. The last
     * evaluation before the gap is filled then. */
    STORY("input is awaited if a gap begins before samples ahead of the clock",
          "own-clock 300s clock 1200 700s begin clock -1200 end 60s sleep 1800 60s speak 60s "
          "missing 2230 total -1..0",
          G(TOTAL)),
    STORY("a reload that interrupts an evaluation ahead still awaits input",
          "own-clock 300s clock 1200 700s begin load 1 clock -1200 end 60s sleep 1800 60s speak "
          "60s missing 2230 total -1..0",
          G(TOTAL), G(TOTAL ", " ALWAYS)),
    STORY("a reload after a gap ahead of the clock still awaits input",
          "own-clock 300s clock 1200 700s begin clock -1200 end 60s sleep 1800 load 1 60s speak "
          "60s missing 2230 total -1..0",
          G(TOTAL), G(TOTAL ", " ALWAYS)),
    /* Nothing had been sent, so no input was awaited at times up to an hour ahead. There is time to
     * fill ten minutes of the hour. */
    STORY("input ahead of the clock is awaited after the clock is corrected",
          "own-clock mute 300s slow 1 clock 3600 20s clock -3600 slow 0 speak 300s sleep 1800 "
          "60s speak 60s missing 1000 total -1..0",
          G(TOTAL)),
    STORY("an hour of sleep is filled if the interval changes at wake-up",
          "290s clock 3600 load 1 60s count one 250..256", EACH("30s", ONE), EACH("15s", ONE)),
    STORY("an hour of sleep after the first evaluation of an interval is filled",
          "for 290,300,310: $s load 1 1s clock 3600 load 2 60s count one 250..256",
          EACH("30s", ONE), EACH("15s", ONE), EACH("15s", ONE_CHANGED)),
    STORY("an hour of sleep before the first evaluation is filled",
          "for 290,300,310: $s load 1 unreadable 1s readable clock 3600 60s count one 250..256",
          EACH("30s", ONE), EACH("15s", ONE)),
    /* The first evaluations at the new interval are missed, and all of them are filled. */
    STORY("a series that ends while a new interval is filled is stale",
          "for 430..525+5: load 1 290s load 2 refuse 200s accept 90s marked early 290..313 "
          "marked late $..$+23",
          NO_GROUPS, EACH("30s", BOTH_END), EACH("23s", BOTH_END)),
    /* Alerts of the other rule are sent, and its own alerts are known. */
    STORY("an alert that can no longer be evaluated does not hold up its group",
          "300s crash forget start 1 100s sent 2..99", G(FIRES ", " SENT),
          G(FIRES ", {alert: Sent, expr: 'load * on() load'}")),
    /* One evaluation in five minutes finds both series. With nothing filled, only that evaluation
     * itself can have left a series that gets a marker. */
    STORY("a series that was written while the disk hung is stale when it ends",
          "60s load 1 240s commits-hang 30s commits-end 120s stale brief 1 stale ALERTS 1 "
          "stale ALERTS_FOR_STATE 1 rejected 0",
          NO_GROUPS, G("{record: brief, " BRIEF "}, {alert: Brief, " BRIEF "}")),
    STORY("a series written while the disk hung is stale unless it is filled",
          "60s catch-up 0 load 1 240s commits-hang 30s commits-end 120s count brief 2 "
          "stale brief 1 count ALERTS 2 stale ALERTS 1 count ALERTS_FOR_STATE 2 "
          "stale ALERTS_FOR_STATE 1 rejected 0",
          NO_GROUPS, G("{record: brief, " BRIEF "}, {alert: Brief, " BRIEF "}")),
    /* The alert would end by itself; the gap is noticed half a minute later. */
    STORY("alerts are held from the first evaluation on that the store refuses",
          "300s refuse 25s firing", G("{alert: Brief, expr: 'vector(time() % 86400) < 310'}")),
    /* The fill is tried every five seconds, and fails until then. */
    STORY("alerts are held while the store refuses also while a gap is filled",
          "for 60..64: 200s mute 100s crash 10s start 0 unreadable $s readable refuse 10s firing",
          G(ALWAYS) "- {name: h, interval: 1s, rules: [{alert: Brief, "
                    "expr: 'vector(time() % 86400) < 320'}]}\n"),
    /* The fill takes three passes, and an evaluation of the alert is due between some of them. */
    STORY("alerts that read recorded series are held until the gap is filled",
          "for 300..329: $s crash 36000s slow 4000 start 0 300s slow 0 60s sent 0",
          G(ALWAYS) H("{alert: Gone, expr: absent(always)}")),
    STORY("alerts are held while the store refuses also if nothing is recorded",
          "120s forget refuse mute 480s accept speak speed 5 300s firing", G(SENT)),
    STORY("alerts are held after each time that the store refuses",
          "120s refuse 60s accept 120s forget refuse mute 560s accept speak speed 2 240s firing",
          G(SENT)),
    STORY("alerts are held while the store refuses also after a short outage",
          "for 300..329: $s crash 10s mute start 0 15s forget refuse 480s accept speak speed 5 "
          "300s firing",
          G(ALWAYS ", " SENT)),

    STORY("a gap whose filling is canceled is not given up",
          "catch-up-wait 0 300s crash 600s start 0 begin-fill cancel-fills end 120s filled 20",
          G(ALWAYS)),

    STORY("a series that ended in a skipped part of a gap is not marked stale",
          "catch-up 600 load 1 300s crash 3600s start 1 120s filled 19..24 stale early 0",
          G(ALWAYS), G(EARLY("400"))),
    /* A gap of ten hours has three passes. */
    STORY("a source that fails in two passes of a gap is awaited in each",
          "catch-up-wait 120 load 1 300s crash 36000s start 1 unreadable 100s readable begin-fill "
          "end unreadable 60s readable 120s filled 1200..1215",
          G(ALWAYS), G(ALWAYS)),
    STORY("a source that fails before and after a refusal is awaited in each",
          "catch-up-wait 120 load 1 300s crash 3600s start 1 unreadable 100s refuse readable 20s "
          "unreadable accept 80s readable 120s filled 120..135",
          G(ALWAYS), G(ALWAYS)),
    STORY("a gap without senders is filled at once after one with senders",
          "300s clock 600 120s mute 300s clock 600 5s filled 40..44", G(ALWAYS)),
    STORY("a short pause after a gap holds no alerts",
          "300s clock 600 120s mute clock 20 40s firing",
          G(ALWAYS ", {alert: Late, expr: 'vector(time() % 86400) > 1045'}")),
    /* Until the clock is set back, what is sent now has times of the gap. */
    STORY("samples after a gap that the clock made shorter prolong no wait",
          "own-clock 300s clock 1200 20s clock -1200 90s missing 0 always -1..1", G(ALWAYS)),

    /* --- checkpoints --- */
    STORY("a directory of an earlier version goes on where it was",
          "old-version 600s crash no-checkpoint 600s start 0 120s count total 43..44 "
          "stale total 0 600s firing",
          G(TOTAL ", " LONG)),
    STORY("a cursor is looked for again if memory was lacking",
          "seeds 300: old-version 600s crash no-checkpoint 600s start 0 memory-fails 1s "
          "memory-returns 120s count total 43..44 stale total 0",
          G(TOTAL)),
    /* The last rule is the one whose alerts are restored last, and held until the input is there.
     */
    STORY("the cursor of an earlier version does not become an alert",
          "old-version 600s crash no-checkpoint 600s mute start 0 60s begin end hides yml;g",
          G(TOTAL ", " FIRES)),
    STORY("alerts of an earlier version leave no cursor for recording rules",
          "600s crash no-checkpoint 600s start 0 120s count always 23..25 filled 0..2",
          G(ALWAYS ", " FIRES)),
    STORY("without a checkpoint alerts are active since the same time",
          "600s crash no-checkpoint forget start 0 60s firing count ALERTS_FOR_STATE 21..22 "
          "changes ALERTS_FOR_STATE 0",
          G(FIRES)),
    /* The checkpoint is older than rules.outage_tolerance. */
    STORY("alerts of an old checkpoint begin again, and recording rules go on",
          "300s crash 3700s forget start 0 60s sent 0 count always 133..136 180s firing",
          G(ALWAYS ", " FIRES)),
    /* Samples of that time may be lost with the log. In this story they are not, and are found. */
    STORY("cursors go back to where a lost log began",
          "600s stop lose-log-from 300 start 0 60s filled 10..13 rejected 0", G(ALWAYS)),
    STORY("alerts are sent also while no checkpoint can be written", "checkpoints-fail 300s firing",
          G(FIRES)),
    STORY("an alert is sent while the write of a checkpoint hangs",
          "60s begin-checkpoint 150s firing end", G(FIRES)),
    STORY("a change of an alert awaits the end of a checkpoint that is written",
          "for 100..125: $s begin-checkpoint forget 5s sent 0 end", EACH("1s", FIRES)),
    STORY("alerts that cannot be read for a minute begin again",
          "600s crash no-checkpoint forget start 0 unreadable 90s readable 60s sent 0 90s firing",
          G(FIRES)),
    STORY("an alert that has ended is not restored without a checkpoint",
          "360s crash no-checkpoint 30s start 0 120s count ALERTS_FOR_STATE 11 "
          "stale ALERTS_FOR_STATE 1",
          G("{alert: Brief, expr: 'vector(time() % 86400) < 300'}")),
    STORY("the last evaluation before a restart is not made again",
          "for 300..329: count-evaluations $s crash no-checkpoint start 0 60s "
          "unrecorded ALERTS_FOR_STATE 0",
          G(FIRES)),
    STORY("nothing is due early while a checkpoint is written",
          "300s begin-checkpoint 30s end 60s firing", G(FIRES)),
    STORY("nothing is due early while alerts are restored",
          "600s crash no-checkpoint forget start 0 unreadable 40s readable 60s firing", G(FIRES)),

    /* --- reloads --- */
    STORY(
        "an alert stays known when it is evaluated or sent less often",
        "300s resend 1800 known-to-fire 4000 resend 60 known-to-fire 600 load 1 known-to-fire 8000",
        G(FIRES), EACH("2h", FIRES)),
    STORY("a group that is removed while it runs ends after it",
          "120s begin load 1 300s stale always 0 end 5s stale always 1", G(ALWAYS), NO_GROUPS),
    STORY("a group that is changed and removed while it runs ends after it",
          "120s begin load 1 load 2 300s stale always 0 end 5s stale always 1", G(ALWAYS),
          G(ALWAYS ", {record: more, expr: vector(2)}"), NO_GROUPS),
    /* The other group finds nothing, and does not resolve the alert. The one marker ends the series
     * of the pending alert. */
    STORY("a group does not take an alert of another group after a restart",
          "300s crash start 0 300s firing stale ALERTS.* 1 rejected 0",
          TWINS("{of: a}", "{of: b}")),
    STORY("an alert that two groups share is not resolved after a restart",
          "300s crash start 0 300s firing stale ALERTS.* 1 rejected 0",
          TWINS("{of: '{{ 1 }}'}", "{}")),
    STORY("an alert that two rules share is not resolved after a restart",
          "300s crash start 0 300s firing", G(FIRES ", {alert: Fires, expr: 'vector(1) > 2'}")),
    /* The group sends as often as without the interruption. */
    STORY("a group that is away for one reload goes on as it was",
          "300s firing sent 1..4 forget load 1 20s load 0 180s firing sent 1..3 "
          "stale ALERTS_FOR_STATE 0",
          G(FIRES), NO_GROUPS),
    STORY("a group that is away for some minutes goes on from its cursor",
          "300s load 1 180s load 0 120s count always 20..21 stale always 1 filled 5..7", G(ALWAYS),
          NO_GROUPS),
    STORY("a group that is away while it runs is not evaluated twice",
          "count-evaluations 120s begin load 1 5s load 2 5s end 120s unrecorded always 0 "
          "stale always 0",
          G(ALWAYS), NO_GROUPS, G(ALWAYS ", {record: more, expr: vector(2)}")),
    STORY("a renamed group keeps its alerts if the store fails for a while",
          "300s unreadable load 1 50s readable forget 60s firing", EACH("10s", FIRES),
          "groups: [{name: other, interval: 10s, rules: [" FIRES "]}]"),
    STORY("of rules that are alike each takes over the alerts of one",
          "300s forget 90s sent 3 load 1 forget 90s sent 3 60s forget 90s sent 4",
          G(FIRES ", " FIRES ", " FIRES), G(ALWAYS ", " FIRES ", " FIRES ", " FIRES ", " FIRES)),
    STORY("a renamed group keeps its alerts",
          "300s load 1 100s load 0 100s load 1 100s load 0 100s firing stale ALERTS_FOR_STATE 0",
          G(FIRES), GROUP("other", FIRES)),
    /* Evaluations are due at some of the reloads. */
    STORY("rules that a reload moves to other groups keep their alerts",
          "for 0..29: 300s forget clock $ load 1 100s still-firing sent 2..99 forget clock $ "
          "load 2 100s still-firing sent 2..99 forget clock $ load 3 100s still-firing "
          "sent 2..99 forget clock $ load 4 100s still-firing sent 2..99",
          G(FIRES) H(SENT), G(ALWAYS) H(FIRES ", " SENT), G(ALWAYS ", " SENT) H(FIRES),
          G(ALWAYS ", " FIRES ", " SENT), G(FIRES) H(ALWAYS ", " SENT)),
    /* The alert is not known to have ended. */
    STORY("a rule removed from its group and put back keeps its alerts",
          "300s load 1 1s load 0 100s firing stale ALERTS_FOR_STATE 0", G(ALWAYS ", " FIRES),
          G(ALWAYS)),
    /* Two of the rules have the same name and labels. */
    STORY("rules that a reload puts in another order keep their alerts",
          "300s forget load 1 100s still-firing sent 3..99 forget load 0 100s still-firing "
          "sent 3..99 forget load 1 100s still-firing sent 3..99 forget load 0 100s "
          "still-firing sent 3..99 stale ALERTS_FOR_STATE 0",
          G(FIRES ", " SENT ", " FIRES), G(ALWAYS ", " FIRES ", " FIRES ", " SENT)),
    /* Input of the group has ended. */
    STORY("a changed group goes on at its times",
          "150s mute load 1 count always 5 150s count always 10 filled 0",
          G(ALWAYS ", {record: sent, expr: requests_total}"),
          G(ALWAYS ", {record: sent, expr: requests_total * 2}")),
    STORY("a series that ends while an evaluation takes too long is marked stale",
          "330s begin idle 130 end 60s stale early 1", G(EARLY("400"))),
    /* Thousands of resolved alerts may hold the memory that the evaluations lack. */
    STORY("a resolved alert is forgotten also when its rule fails",
          "360s ended 0..60 unreadable 1800s ended 840..930",
          G("{alert: Brief, expr: 'vector(time() % 86400) < 300'}")),
    STORY("rules are read back however many labels they set",
          "600s crash 600s start 0 900s same load:wide rejected 0", wide[0]),
    STORY("rules are read back however long the labels are that they set",
          "600s crash 600s start 0 900s same load:wide rejected 0", wide[1]),

    /* --- staleness markers --- */
    /* After the outage, the last series of the rules are not known until the backlog has arrived.
     */
    STORY("series of rules that are removed during a gap are marked stale",
          "300s crash 60s speed 20 start 0 1s load 1 180s stale removed 1 stale deleted 1 "
          "stale always 0",
          G(ALWAYS ", {record: removed, expr: vector(2)}") "---\n" GROUP(
              "h", "{record: deleted, expr: vector(3)}"),
          G(ALWAYS)),
    /* The group is known until its series are marked stale, but not for longer. */
    STORY("series of a removed group are stale unless others record them",
          "120s load 1 55s stale of 0 120s stale of 1 stale always 0",
          GROUP("a", ALWAYS ", " OF("a")) H(OF("b") ", " ALWAYS),
          "groups:\n" H(OF("b") ", " ALWAYS)),
    /* The other tenant records the same series, in its own store. */
    STORY("other tenants do not keep the series of a removed group",
          "tenants 2 load 1 60s tenants 1 load 1 120s count always 3 stale always 1", NO_GROUPS,
          G(ALWAYS)),
    /* A marker at the time of a sample would be rejected. */
    STORY("a series that another rule of the group goes on to write is not stale",
          "120s load 1 120s stale one 1 stale two 0 rejected 0",
          G("{record: one, expr: vector(1), labels: {x: y}}, {record: two, expr: vector(1), "
            "labels: {x: y}}"),
          G("{record: two, expr: 'label_replace(vector(1), \"x\", \"y\", \"\", \"\")'}")),
    STORY("a series that another rule of its name goes on with is not stale",
          "600s count moves 19..20 stale moves 0 rejected 0",
          G("{record: moves, expr: 'vector(time() % 86400 >= bool 300) > 0'}, {record: moves, "
            "expr: 'vector(time() % 86400 < bool 300) > 0'}")),
    STORY("series of a failing rule are stale when a reload repairs it",
          "for 0..29: 240+$s load 1 120s stale r 1", GROWS("1", "1e10", "one"),
          GROWS("2", "1e10", "another")),
    STORY("series of a failing rule are stale when its input repairs it",
          "for 0..29: 240+$s load 1 120s stale r 1", GROWS("1", "300", "one"),
          GROWS("1", "300", "another")),
    /* With the second value, the machine slept, and the evaluation without the series is filled. */
    STORY("a series that ends while its rule is absent is marked stale",
          "for 0,300: 240s load 1 2s clock $ load 0 120s count r 9 marked r 257..647", G(TEAM("a")),
          G(TEAM("b"))),

    /* --- servers to which nothing happens record the same --- */
    STORY("after an hour's outage the record is that without an outage",
          "for 0,60: speed $ 1200s crash 3600s start 0 30+?300s 1500s " SAME, RULES),
    STORY("after outages with a slow backlog the record is that without them",
          "seeds 6: speed 8+?117 1200s " OUTAGE OUTAGE OUTAGE "1500s " SAME, RULES),
    /* Senders are refused as well, and their backlog comes later and gradually. */
    STORY("after a store refused for long the record is that without refusal",
          "1200s mute refuse 1800s accept 90s speak speed 20 1500s " SAME, RULES),
    /* No sample has these times: an evaluation of them would have found nothing. */
    STORY("a clock that was wrong for minutes leaves no gap in recorded series",
          "1200s mute clock 3600 300s clock -3600 speak 4500s " SAME, RULES),
    STORY("after failed commits the record is that without failures",
          "seeds 3: 600s commits-fail ?300s commits-work 600s " SAME, RULES),
    STORY("alerts go on after refused memory",
          "seeds 5: 300s memory-fails ?300s memory-returns forget 180s firing rejected 0",
          G(ALWAYS ", " FIRES)),
};

/* Appends `count` labels, in YAML. */
static void
put_labels(struct buf *to, const char *prefix, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        buf_printf(to, "%s%s%u: v", i == 0 ? "" : ", ", prefix, i);
}

/* Writes two groups that record series of one name, which differ in the last byte of the last
 * label. */
static void
put_wide(char *ret, size_t size, int equal)
{
    struct buf to;
    buf_init(&to, NULL, size);
    buf_put_text(&to, "groups:\n");
    for (int i = 0; i < 2; i++) {
        buf_printf(&to, "- name: '%s'\n  interval: 30s\n  labels: {", i == 0 ? "a" : "#");
        put_labels(&to, "l", RULE_TEXTS_MAX);
        buf_printf(&to,
                   "}\n  rules:\n  - {record: \"load:wide\", expr: load %s, labels: {l7: \"\", ",
                   i == 0 ? "> 30" : "< 70");
        put_labels(&to, "m", RULE_TEXTS_MAX - 2);
        buf_printf(&to, ", z: %0*d%c}}\n", equal, 7, "xy"[i]);
    }
    buf_put_u8(&to, '\0');
    must(buf_error(&to));
    memcpy(ret, to.at, to.size);
    buf_fini(&to);
}

int
main(void)
{
    put_wide(wide[0], sizeof wide[0], 1);
    put_wide(wide[1], sizeof wide[1], 6000);
    return story_run_all(stories, sizeof stories / sizeof *stories);
}
