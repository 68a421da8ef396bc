/*
 * rules_life_testing.h - a life of groups of rules from a seed, and what was seen of it: every
 * evaluation and its alerts, and what could not be known then. rules_life_test.c compares that with
 * what is stored in the end.
 */
#ifndef APP_RULES_LIFE_TESTING_H
#define APP_RULES_LIFE_TESTING_H

#include <stdlib.h>

#include "app/rules_sim_testing.h"

enum {
    GROUPS = 5,
    FILES = 2,
    KEYS = FILES * GROUPS, /* what groups are known by */
    CONFIGS_MAX = 128,
    TROUBLES = 16,
    MADE_MAX = 1 << 15,
    LOOKS_MAX = 1 << 15,
    ACTIVE_MAX = 1 << 17,
    EVENTS_MAX = 512,
};

/* --- rules ------------------------------------------------------------------------------------ */

enum reads { NOTHING, SENT_SERIES, RECORDED };

static const struct form {
    const char *name, *expression; /* # is a number that reloads change */
    enum reads reads;
    bool is_alert, is_read; /* by others */
    const char *more;
    bool is_kept; /* firing */
} forms[] = {
    {"sent:rate", "sum by (job) (rate(requests_total[2m])) > # * 0", SENT_SERIES, .is_read = true},
    {"sent:high", "load > #", SENT_SERIES, .is_read = true},
    {"always", "vector(#)", NOTHING, .is_read = true},
    {"rate:max", "max(sent:rate) + #", RECORDED},
    {"high:count", "count by (job) (sent:high > #)", RECORDED, .is_read = true},
    {"rate:sum", "sum by (job) (sum_over_time(sent:rate[10m])) + #", RECORDED},
    {"always:before", "always offset 1m + #", RECORDED},
    {"SentHigh", "load > #", SENT_SERIES, .is_alert = true},
    {"SentWaits", "load > #", SENT_SERIES, .is_alert = true, .more = ", for: 1m"},
    {"SentAlways", "requests_total > # * 0", SENT_SERIES, .is_alert = true},
    {"SentKept", "load > #", SENT_SERIES, true, false, ", keep_firing_for: 2m", true},
    {"RateAlways", "sent:rate > # * 0", RECORDED, .is_alert = true},
    {"HighKept", "high:count * 0 + #", RECORDED, true, false, ", keep_firing_for: 90s", true},
    {"High", "sent:high > #", RECORDED, .is_alert = true},
    {"Always", "always > # * 0", RECORDED, .is_alert = true, .more = ", for: 45s"},
};
enum { RULES = sizeof forms / sizeof *forms };

enum { MOST_S = 60 };
static const int intervals_s[] = {15, 20, 30, MOST_S};

/* What the files say from some time on. */
struct config {
    struct of_group {
        bool is_away;
        unsigned file;
        int interval_s, offset_s, team;
    } groups[GROUPS];
    unsigned place[RULES]; /* a group, or GROUPS */
    int bound[RULES];
};

static void
put_expression(struct buf *to, const struct config *c, unsigned rule)
{
    const char *text = forms[rule].expression;
    size_t before = strcspn(text, "#");
    buf_printf(to, "%.*s%d%s", (int)before, text, c->bound[rule], text + before + 1);
}

static bool
has_rule(const struct config *c, unsigned group, unsigned rule)
{
    return c->place[rule] == group && !c->groups[group].is_away;
}

static bool
has_any(const struct config *c, unsigned group, bool (*is_one)(const struct form *form))
{
    bool any = false;
    for (unsigned r = 0; r < RULES; r++) {
        any |= has_rule(c, group, r) && is_one(&forms[r]);
    }
    return any;
}

static bool
is_recording(const struct form *form)
{
    return !form->is_alert;
}

static bool
is_read(const struct form *form)
{
    return form->is_read;
}

static bool
is_rule(const struct form *form)
{
    return form != NULL;
}

/* Whoever reads what was recorded in the past would have to do that later as well. */
static int64_t
offset_ms(const struct config *c, unsigned group)
{
    return has_any(c, group, is_read) ? 0 : c->groups[group].offset_s * 1000;
}

/* --- a life ----------------------------------------------------------------------------------- */

struct made {
    unsigned key, config, order;
    int64_t at_ms;
    bool lacks; /* its input was not there, and it did not have to wait */
};

struct look { /* at the alerts of a rule */
    unsigned key, config, order, rule;
    int64_t at_ms;
    bool is_whole;  /* all that it reads was there */
    bool is_stored; /* what the group recorded just before, which it may read */
};

struct live { /* an evaluation at its time */
    unsigned key, config;
    int64_t sample_ms;
};

struct active {
    unsigned look;
    uint64_t labels; /* hashed */
    bool fires, is_over;
};

/* A group that records, or did; orders from when it left until its readers are right again. What is
 * looked at after the last evaluation has the order of the next one. */
struct absence {
    unsigned key, from, to;
    int64_t at_ms, ends_ns; /* monotonic */
    int64_t since_ms;       /* of evaluations of earlier times nothing is exempt */
};

static struct life {
    struct rules_sim s;
    struct config configs[CONFIGS_MAX];
    unsigned config;
    char yaml[8192];
    struct made made[MADE_MAX];
    struct look looks[LOOKS_MAX];
    struct active active[ACTIVE_MAX];
    struct live lives[LOOKS_MAX];
    struct absence absences[EVENTS_MAX];
    unsigned made_count, look_count, active_count, live_count, absence_count;
    int64_t gap_ns;        /* monotonic: the start, a jump, or a refusal */
    int64_t jumped_ns;     /* Unix: to where */
    int64_t seen_ns;       /* Unix: when the server last looked at its clock */
    int64_t live_ns[KEYS]; /* Unix: the last evaluation at its time */
    /* Evaluations in a row, since input was last whole; and since the clock was set back. */
    unsigned missed[KEYS], ahead[KEYS];
    bool known[KEYS], has_made[KEYS];
    /* Input, since what reads it came, which does not know in an outage that it is missing. */
    bool has_seen[KEYS];
    bool is_new;      /* the process, since input was last whole */
    bool comes[KEYS]; /* until its first evaluation */
    int64_t begun_ms; /* Unix: when a group last came, got other times, or was first evaluated */
    unsigned whole;   /* order: until then nothing is owed */
} l;

static uint64_t
below(uint64_t n)
{
    return sim_env_random(l.s.m.sim) % n;
}

static const struct config *
config_now(void)
{
    return &l.configs[l.config];
}

static unsigned
key_of(const struct config *c, unsigned group)
{
    return c->groups[group].file * GROUPS + group;
}

static void
put_yaml(void)
{
    const struct config *c = config_now();
    struct buf to;
    buf_init(&to, NULL, sizeof l.yaml);
    for (unsigned f = 0; f < FILES; f++) {
        buf_put_text(&to, f == 0 ? "groups:\n" : "---\ngroups:\n");
        for (unsigned g = 0; g < GROUPS; g++) {
            const struct of_group *of = &c->groups[g];
            if (of->file != f || !has_any(c, g, is_rule)) continue;
            buf_printf(&to, "- name: g%u\n  interval: %ds\n  query_offset: %llds\n  rules:\n", g,
                       of->interval_s, (long long)offset_ms(c, g) / 1000);
            for (unsigned r = 0; r < RULES; r++) {
                const struct form *form = &forms[r];
                if (!has_rule(c, g, r)) continue;
                buf_printf(&to, "  - {%s: \"%s\", expr: \"", form->is_alert ? "alert" : "record",
                           form->name);
                put_expression(&to, c, r);
                buf_printf(&to, "\", labels: {team: t%d}%s}\n", of->team,
                           form->more == NULL ? "" : form->more);
            }
        }
    }
    buf_put_u8(&to, '\0');
    must(buf_error(&to));
    memcpy(l.yaml, to.at, to.size);
    buf_fini(&to);
}

static struct schedule
schedule_now(const struct config *c, unsigned group)
{
    struct schedule schedule;
    char name[8];
    snprintf(name, sizeof name, "g%u", group);
    must(schedule_of(c->groups[group].file == 0 ? "rules.yml" : "more.yml", name,
                     c->groups[group].interval_s * NS_PER_S, &schedule));
    return schedule;
}

static int64_t
mono_ns(void)
{
    return env_monotonic_ns(l.s.m.env);
}

/* --- looking on ------------------------------------------------------------------------------- */

static bool
has_input(int64_t sample_ms)
{
    return sample_ms < (l.s.sent_s + 1) * 1000;
}

/* Whether nothing says that input is to come, or it was awaited for as long as is configured. A
 * series whose next sample is not due yet looks as if it had all. */
static bool
may_lack(bool has_gap)
{
    bool seems_whole = sim_now_s(&l.s) - l.s.sent_s < SIM_SCRAPE_S + 3;
    return !has_gap || seems_whole || mono_ns() - l.gap_ns >= l.s.limits.catch_up_wait_ns;
}

static void
add_missing(void *context, struct group *group, struct agenda_owed owed)
{
    (void)group;
    *(uint64_t *)context += owed.missing;
}

static uint64_t
owed_now(void)
{
    uint64_t missing = 0;
    agenda_each_owed(l.s.agenda, env_realtime_ms(l.s.m.env) * NS_PER_MS, add_missing, &missing);
    return missing;
}

static void
note_active(void *context, const struct alert *alert)
{
    unsigned look = *(unsigned *)context;
    int64_t over_ms = alert->resolved_at_ns / NS_PER_MS;
    bool is_over = !alert_is_active(alert) && over_ms == l.looks[look].at_ms;
    const struct look *k = &l.looks[look];
    /* What began when its input was not there may be over. */
    if (is_over && !k->is_whole && alert->active_at_ns >= l.jumped_ns) return;
    if (is_over && !k->is_stored) return;
    if (!is_over && !alert_is_active(alert)) return;
    assert_true(l.active_count < ACTIVE_MAX);
    l.active[l.active_count++] =
        (struct active){look, hash_bytes(alert->labels, 1), alert->state == ALERT_FIRING, is_over};
}

static void
look_at_rules(const struct agenda_job *job, unsigned group, int64_t sample_ms)
{
    const struct config *c = config_now();
    unsigned key = key_of(c, group), index = 0;
    bool there = has_input(sample_ms);
    bool is_stored = job->outcome.stored || !has_any(c, group, is_recording);
    bool is_whole = there && is_stored && !job->how.holds && owed_now() == 0;
    for (unsigned r = 0; r < RULES; r++) {
        if (!has_rule(c, group, r)) continue;
        unsigned i = index++;
        if (!forms[r].is_alert || (!there && may_lack(l.ahead[key] > 2))) continue;
        assert_true(l.look_count < LOOKS_MAX);
        unsigned look = l.look_count++;
        l.looks[look] = (struct look){
            key, l.config, l.made_count, r, job->how.at_ns / NS_PER_MS, is_whole, is_stored};
        group_each_alert(agenda_entry_group(job->entry), i, note_active, &look);
    }
}

static void
look_at_job(struct rules_sim *s, const struct agenda_job *job)
{
    const struct config *c = config_now();
    const struct rule_group *text = group_text(agenda_entry_group(job->entry));
    unsigned group = (unsigned)text->name[1] - '0', key = key_of(c, group);
    int64_t sample_ms = job->how.at_ns / NS_PER_MS - offset_ms(c, group);
    s->told_count = 0;
    if (job->work != AGENDA_LIVE && job->work != AGENDA_MAKE_UP) return;
    if (job->work == AGENDA_LIVE) {
        assert_true(l.live_count < LOOKS_MAX);
        l.lives[l.live_count++] = (struct live){key, l.config, sample_ms};
        l.live_ns[key] = job->how.at_ns;
    }
    if (job->how.part != GROUP_RECORDING) look_at_rules(job, group, sample_ms);
    if (job->waits || job->how.part == GROUP_ALERTING || !has_any(c, group, is_recording)) return;
    if (!job->outcome.stored) {
        l.missed[key] = 9;
        l.gap_ns = mono_ns();
        return;
    }
    bool there = has_input(sample_ms);
    /* What was recorded ahead of the clock looks to a new process as if the outage began after it,
     * and there was no input by then. */
    int64_t gap_ms = job->gap_ns / NS_PER_MS - offset_ms(c, group) - l.s.terms.lookback_ms;
    if (l.is_new && job->is_unknown && !has_input(gap_ms)) l.has_seen[key] = false;
    bool lacks = !there && (!l.has_seen[key] || may_lack(l.missed[key] > 1));
    assert_true(l.made_count < MADE_MAX);
    l.made[l.made_count] =
        (struct made){key, l.config, l.made_count, job->how.at_ns / NS_PER_MS, lacks};
    if (job->error == OK) l.made_count++;
    if (l.comes[key] && l.begun_ms < job->how.at_ns / NS_PER_MS)
        l.begun_ms = job->how.at_ns / NS_PER_MS;
    l.comes[key] = false;
    l.has_made[key] = true;
    l.has_seen[key] |= there;
}

/* --- what happens ----------------------------------------------------------------------------- */

static void
pass(int64_t seconds)
{
    for (int64_t i = 0; i < seconds; i++) {
        sim_pass(&l.s, 1);
        l.seen_ns = env_realtime_ms(l.s.m.env) * NS_PER_MS;
        if (sim_now_s(&l.s) - l.s.sent_s < SIM_SCRAPE_S + 3) {
            l.is_new = false;
            memset(l.missed, 0, sizeof l.missed);
            memset(l.ahead, 0, sizeof l.ahead);
        }
        for (unsigned a = 0; a < l.absence_count; a++) {
            struct absence *absence = &l.absences[a];
            if (mono_ns() >= absence->ends_ns) continue;
            absence->to = l.made_count + 1;
            if (l.s.write_fails || l.s.settle_fails) absence->ends_ns += NS_PER_S;
        }
        if (l.s.agenda != NULL && owed_now() == 0) l.whole = l.made_count;
    }
}

static void
add_absence(struct absence absence)
{
    assert_true(l.absence_count < EVENTS_MAX);
    l.absences[l.absence_count++] = absence;
}

/* What was evaluated while the clock was ahead could not read what is recorded of these times from
 * now on. Unix. */
static void
note_ahead(int64_t since_ms)
{
    add_absence((struct absence){.key = KEYS, .to = l.made_count, .since_ms = since_ms});
}

/* Of two jumps within a second, the server sees one. */
static void
jump(int64_t seconds)
{
    const struct config *c = config_now();
    int64_t from_ns = env_realtime_ms(l.s.m.env) * NS_PER_MS;
    for (unsigned g = 0; g < GROUPS; g++) {
        if (l.comes[key_of(c, g)]) l.begun_ms = from_ns / NS_PER_MS;
    }
    int64_t least = l.begun_ms / 1000 + 700 - sim_now_s(&l.s); /* by then it has begun to record */
    if (least > -l.s.ahead_s) least = -l.s.ahead_s;
    if (seconds < 0 && seconds < least) seconds = least < 0 ? least : 0;
    sim_shift_clock(&l.s, seconds);
    l.jumped_ns = env_realtime_ms(l.s.m.env) * NS_PER_MS;
    if (seconds < 0) memset(l.ahead, 0, sizeof l.ahead);
    /* So much later is the next evaluation. */
    for (unsigned i = 0; i < l.absence_count && seconds < 0; i++) {
        if (mono_ns() < l.absences[i].ends_ns) l.absences[i].ends_ns -= seconds * NS_PER_S;
    }
    /* A group that was first evaluated ahead did not owe what it records from now on: first its
     * last evaluation before now. */
    int64_t jumped_ms = l.jumped_ns / NS_PER_MS;
    if (l.begun_ms > jumped_ms) note_ahead(jumped_ms - MOST_S * 1000);
    for (unsigned g = 0; g < GROUPS && seconds > 0; g++) {
        if (!l.has_made[key_of(c, g)]) continue; /* it is new, and owes nothing */
        struct schedule schedule = schedule_now(c, g);
        unsigned key = key_of(c, g);
        int64_t from = schedule_slot(&schedule, l.seen_ns);
        /* It was set back by less than two intervals: a group goes on where it was. */
        if (schedule_slot(&schedule, l.live_ns[key]) == from + 1) from++;
        int64_t slots = schedule_slot(&schedule, l.jumped_ns) - from;
        if (slots > l.missed[key]) l.missed[key] = (unsigned)slots;
        if (slots > l.ahead[key]) l.ahead[key] = (unsigned)slots;
        if (slots > 1) l.gap_ns = mono_ns();
    }
}

/* The machine sleeps: for senders as well it is later, when it goes on. */
static void
sleep_for(int64_t seconds)
{
    jump(seconds);
    l.s.ahead_s -= seconds;
}

/* Seconds to hours. */
static int64_t
any_jump_s(void)
{
    static const int64_t most_s[] = {20, 120, 900, 3600, 10000};
    return 1 + (int64_t)below((uint64_t)most_s[below(5)]);
}

/* A rule that goes to another group: its series are marked stale by the one it left, as in
 * Prometheus, and may be read at that moment. */
static void
note_moves(const struct config *before, const struct config *now)
{
    for (unsigned r = 0; r < RULES; r++) {
        unsigned was = before->place[r], is = now->place[r];
        if (key_of(before, was) == key_of(now, is) &&
            before->groups[was].team == now->groups[is].team) {
            continue;
        }
        add_absence(
            (struct absence){KEYS, l.made_count, l.made_count, 0, mono_ns() + 65 * NS_PER_S});
        return;
    }
}

static void
note_absences(const struct config *before, const struct config *now)
{
    unsigned next = l.made_count;
    int64_t now_ms = env_realtime_ms(l.s.m.env);
    /* What is owed is made up by the rules from now on, and may have been read without. */
    if (l.whole < next) add_absence((struct absence){KEYS, l.whole, next + 1, 0, 0});
    for (unsigned k = 0; k < KEYS; k++) {
        unsigned g = k % GROUPS;
        bool stood = before != NULL && key_of(before, g) == k && has_any(before, g, is_rule);
        bool stands = key_of(now, g) == k && has_any(now, g, is_rule);
        bool was = stood && has_any(before, g, is_recording);
        bool is = stands && has_any(now, g, is_recording);
        if (was && !is) { /* its interval may have changed in this reload, too */
            add_absence(
                (struct absence){k, next, next, now_ms, mono_ns() + (2 * MOST_S + 5) * NS_PER_S});
        }
        /* It may have to mark what rules recorded that left it before. */
        if (stood && !was && !stands) add_absence((struct absence){KEYS, next, next, now_ms, 0});
        /* At a restart, some times of the new interval lie before. */
        if (is && was && before->groups[g].interval_s != now->groups[g].interval_s) {
            add_absence((struct absence){k, next < 60 ? 0 : next - 60, next, 0, 0});
        }
        if (was || !is) continue;
        for (unsigned a = 0; a < l.absence_count; a++) {
            if (l.absences[a].key == k) l.absences[a].to = next;
        }
        if (!l.known[k]) add_absence((struct absence){k, 0, next, 0, 0});
        l.known[k] = true;
    }
}

static void
change_any(struct config *c)
{
    unsigned g = (unsigned)below(GROUPS), r = (unsigned)below(RULES);
    switch (below(9)) {
    case 0: /* all rules of a group to another one */
        for (unsigned i = 0; i < RULES; i++) {
            if (c->place[i] == g) c->place[i] = (g + 1) % GROUPS;
        }
        break;
    case 1:
        c->groups[g].file = 1 - c->groups[g].file;
        break;
    case 2:
        c->groups[g].interval_s = intervals_s[below(4)];
        break;
    case 3:
        c->groups[g].offset_s = 7 - c->groups[g].offset_s;
        break;
    case 4:
        c->groups[g].team ^= 1;
        break;
    case 5:
        c->groups[g].is_away ^= true;
        break;
    case 6:
        c->bound[r] = (int)(20 + below(60));
        break;
    default:
        c->place[r] = (unsigned)below(GROUPS);
        break;
    }
}

/* Whether a group records at times at which it did not. */
static bool
gets_new_times(const struct config *was, const struct config *is, unsigned group)
{
    bool is_same = key_of(was, group) == key_of(is, group) && has_any(was, group, is_recording) &&
                   was->groups[group].interval_s == is->groups[group].interval_s;
    return has_any(is, group, is_recording) && !is_same;
}

static bool
has_new_times(const struct config *was, const struct config *is)
{
    bool any = false;
    for (unsigned g = 0; g < GROUPS; g++) {
        any |= gets_new_times(was, is, g);
    }
    return any;
}

static bool
gets_input(const struct config *was, const struct config *is, unsigned group)
{
    bool any = false;
    for (unsigned r = 0; r < RULES; r++) {
        bool is_new = key_of(was, group) != key_of(is, group) || !has_rule(was, group, r);
        any |=
            is_new && has_rule(is, group, r) && !forms[r].is_alert && forms[r].reads == SENT_SERIES;
    }
    return any;
}

/* What a group owes of the time before it came, or got these times, and what others make of that,
 * depends on whether the clock is set back to then: it is not. */
static void
change_config(void)
{
    struct config *c = &l.configs[l.config + 1];
    do {
        *c = *config_now();
        change_any(c);
    } while (l.s.ahead_s != 0 && has_new_times(config_now(), c));
    note_absences(config_now(), c);
    note_moves(config_now(), c);
    note_ahead(env_realtime_ms(l.s.m.env));
    for (unsigned g = 0; g < GROUPS; g++) {
        if (gets_input(config_now(), c, g)) l.has_seen[key_of(c, g)] = false;
        if (!gets_new_times(config_now(), c, g)) continue;
        l.begun_ms = env_realtime_ms(l.s.m.env);
        l.comes[key_of(c, g)] = true;
    }
    l.config++;
    assert_true(l.config < CONFIGS_MAX - 1);
    put_yaml();
}

static void
reload(void)
{
    for (uint64_t n = 1 + below(2); n > 0; n--) {
        change_config();
    }
    sim_load(&l.s, l.yaml);
}

static void
start(void)
{
    int64_t without_ns = (sim_now_s(&l.s) - l.s.sent_s) * NS_PER_S;
    bool is_known = l.s.ahead_s <= 0 && without_ns < l.s.limits.outage_tolerance_ns;
    l.gap_ns = mono_ns();
    l.is_new = true;
    for (unsigned k = 0; k < KEYS; k++) {
        /* A group that is new does not know of the outage. */
        l.missed[k] = l.has_made[k] ? 9 : 0;
        /* How long ago an outage was, and so whether input may yet come, is told by the clock. */
        l.ahead[k] = is_known ? 9 : 0;
    }
    if (below(3) == 0 && l.s.ahead_s >= 0) change_config();
    l.s.begin_fails = below(3) == 0;
    sim_start(&l.s, l.yaml);
}

static void
restart(int64_t down_s)
{
    if (below(2) == 0)
        sim_stop(&l.s);
    else
        sim_crash(&l.s);
    if (down_s > 0) pass(down_s);
    start();
}

static void
set_right(void)
{
    jump(-l.s.ahead_s);
}

static void
jump_about(void)
{
    for (uint64_t n = 2 + below(4); n > 0; n--) {
        uint64_t what = below(6);
        if (what == 0)
            set_right();
        else
            jump(what < 4 ? any_jump_s() : -any_jump_s());
        if (below(4) == 0) restart(0);
        if (below(6) == 0 && l.s.ahead_s >= 0) reload();
        pass((int64_t)below(30));
    }
    set_right();
}

static void
trouble(void)
{
    bool mute = below(3) == 0;
    l.s.per_second = below(2) == 0 ? 0 : 20 + (int64_t)below(100);
    switch (below(10)) {
    case 0:
        l.s.mute = mute;
        restart(1 + (int64_t)below(2400));
        pass((int64_t)below(120));
        break;
    case 1:
        restart(0);
        break;
    case 2:
        l.s.write_fails = below(2) == 0;
        l.s.settle_fails = !l.s.write_fails;
        l.s.mute = mute || l.s.settle_fails;
        pass((int64_t)below(240));
        l.s.write_fails = l.s.settle_fails = false;
        pass(mute ? (int64_t)below(90) : 0);
        break;
    case 3:
        jump(any_jump_s());
        pass((int64_t)below(400));
        set_right();
        break;
    case 4:
        jump(-any_jump_s());
        pass((int64_t)below(400));
        set_right();
        break;
    case 5:
        jump_about();
        break;
    case 6:
    case 7:
        reload();
        break;
    case 8:
        sleep_for(1 + (int64_t)below(3000));
        if (below(2) == 0) reload();
        break;
    default:
        tsdb_want_cut(l.s.m.db);
        must(tsdb_commit(l.s.m.db, &l.s.m.why));
        must(tsdb_flush(l.s.m.db, &l.s.m.why));
        break;
    }
    l.s.mute = false;
}

#endif
