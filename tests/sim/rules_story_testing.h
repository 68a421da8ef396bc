/*
 * rules_story_testing.h - tests of a server with rules that are written as stories: a claim, the
 * rules, and a script of what happens and what is checked. For tests only.
 *
 * A script has steps: words and numbers between spaces. "120s" lets that much time pass; the others
 * are in story_settings, story_take_step() and story_take_check(). A number is made of terms from
 * left to right, as in $+900/15. $ is the value of the story: each of those at the begin of the
 * script in turn ("for 1,2,5:", "for 0..29:", "for 300..327+3:"); after "seeds 5:" it is the seed
 * of the simulation, and the environment may ask for more of them (SEEDS=1000). T is the time that
 * passed, in seconds, ?60 a random number below 60. A check has a number or a range: 45..47. In
 * rules, too, $ is the value, and # is the name of a group that is evaluated in the same
 * millisecond as "a".
 */
#ifndef SIM_RULES_STORY_TESTING_H
#define SIM_RULES_STORY_TESTING_H

#include "base/log.h"
#include "sim/rules_sim_testing.h"

struct story {
    const char *claim;
    const char *script;
    const char *rules[5]; /* the server begins with the first */
};

static struct story_run {
    struct rules_sim s;
    const struct story *story;
    int64_t value, passed_s;
    uint64_t seed, random_count;
    const char *step, *at; /* in the script: the begin and the end of the current step */
    char word[128];
    char rules[32768];
    uint32_t forgotten; /* alerts that were sent before "forget" */
    unsigned evaluations;
    bool (*more)(void);       /* NULL, or takes other steps; false: it does not know the word */
    int64_t whole_rules;      /* index of the rules of the server that "same" compares with */
    int64_t recent_s;         /* "same" leaves out so many seconds before the end */
    uint64_t warnings;        /* that were logged before the story */
    struct scheduler_job job; /* between "begin" and "end" */
} run;

/* --- words ------------------------------------------------------------------------------------ */

static inline const char *
story_word(void)
{
    run.at += strspn(run.at, " ");
    size_t size = strcspn(run.at, " ");
    snprintf(run.word, sizeof run.word, "%.*s", (int)size, run.at);
    run.at += size;
    return run.word;
}

static inline bool
story_is(const char *word)
{
    return strcmp(run.word, word) == 0;
}

static inline int64_t
story_term(const char **at)
{
    if (**at == '$') return ++*at, run.value;
    if (**at == 'T') return ++*at, run.passed_s;
    bool is_random = **at == '?';
    const char *digits = *at + is_random;
    int64_t n = strtoll(digits, (char **)(uintptr_t)at, 10);
    if (*at == digits) fail_msg("\"%s\" is not a number", run.word);
    return is_random ? (int64_t)(sim_mix(run.seed, ++run.random_count) % (uint64_t)n) : n;
}

static inline int64_t
story_number(const char **at, const char *end)
{
    int64_t n = story_term(at);
    while (**at != '\0' && strncmp(*at, end, strlen(end)) != 0) {
        char sign = *(*at)++;
        int64_t next = story_term(at);
        if (strchr("+*/", sign) == NULL) fail_msg("\"%s\" is not a number", run.word);
        n = sign == '+' ? n + next : sign == '*' ? n * next : n / next;
    }
    return n;
}

static inline int64_t
story_take_number(void)
{
    const char *at = story_word();
    return story_number(&at, " ");
}

static inline void
story_check(int64_t is)
{
    const char *at = story_word();
    int64_t min = story_number(&at, ".."), max = min;
    if (*at != '\0') at += 2, max = story_number(&at, " ");
    if (is < min || is > max) fail_msg("it is %lld", (long long)is);
}

static inline void
story_name_of_same_time(char *ret, size_t size)
{
    struct schedule a, other;
    must(schedule_of("rules.yml", "a", 30 * NS_PER_S, &a));
    for (unsigned i = 0;; i++) {
        snprintf(ret, size, "b%u", i);
        must(schedule_of("rules.yml", ret, 30 * NS_PER_S, &other));
        if (other.shift_ns / NS_PER_MS == a.shift_ns / NS_PER_MS) return;
    }
}

static inline const char *
story_rules(int64_t index)
{
    size_t size = 0;
    assert_in_range(index, 0, 4);
    assert_non_null(run.story->rules[index]);
    for (const char *at = run.story->rules[index]; *at != '\0'; at++) {
        char to[32] = {*at};
        if (*at == '$') snprintf(to, sizeof to, "%lld", (long long)run.value);
        if (*at == '#') story_name_of_same_time(to, sizeof to);
        size += (size_t)snprintf(run.rules + size, sizeof run.rules - size, "%s", to);
        assert_true(size < sizeof run.rules);
    }
    return run.rules;
}

/* --- checks ----------------------------------------------------------------------------------- */

static const struct sim_sent *
story_last_sent(void)
{
    assert_true(run.s.sent_count > run.forgotten);
    return &run.s.sent[run.s.sent_count - 1];
}

/* If the alert was sent as firing before, the time since which it fires is the same. */
static inline void
story_check_since(const struct sim_sent *alert)
{
    for (uint32_t i = (uint32_t)(alert - run.s.sent); i-- > 0;) {
        const struct sim_sent *before = &run.s.sent[i];
        if (strcmp(alert->labels, before->labels) != 0) continue;
        if (before->ends_ns > before->at_ns)
            assert_true(alert->starts_ns / NS_PER_S == before->starts_ns / NS_PER_S);
        return;
    }
}

/* All alerts that were sent fire: since one time, or each since the same time as before. */
static inline void
story_check_firing(bool since_one_time)
{
    const struct sim_sent *first = &run.s.sent[run.forgotten], *last = story_last_sent();
    for (const struct sim_sent *alert = first; alert <= last; alert++) {
        assert_true(alert->ends_ns > alert->at_ns);
        if (since_one_time)
            assert_true(alert->starts_ns == first->starts_ns);
        else
            story_check_since(alert);
    }
}

static inline uint64_t
story_filled(void)
{
    struct scheduler_totals totals;
    scheduler_totals(run.s.scheduler, &totals);
    assert_int_equal(totals.different, 0);
    return totals.filled;
}

/* Counts half minutes, from a second on, less the samples of a series. */
static inline int64_t
story_missing(void)
{
    int64_t from_ms = SIM_BEGIN + story_take_number() * 1000;
    struct sim_found found = sim_find(&run.s, story_word(), from_ms);
    return (env_realtime_ms(run.s.m.env) - from_ms) / 30000 - (found.samples - found.stale);
}

/* True: the group that was evaluated by "begin" and "end" shows a text; "_" in it is a space. */
static inline bool
story_shows(void)
{
    static const struct group_question all = {.alerting = true, .recording = true};
    char *want = run.word;
    struct buf text;
    struct json json;
    buf_init(&text, NULL, 1 << 16);
    json_init(&json, &text);
    assert_true(group_print(run.job.entry->group, &all, &json));
    buf_put_u8(&text, '\0');
    story_word();
    for (char *space; (space = strchr(want, '_')) != NULL;) {
        *space = ' ';
    }
    bool is_there = strstr((const char *)text.at, want) != NULL;
    buf_fini(&text);
    return is_there;
}

static inline void
story_begin(struct rules_sim *sim, int64_t index)
{
    sim_init(sim, run.seed, story_rules(index));
    sim->m.limits.labels =
        (struct labels_limits){300, 100, 8192}; /* stories have many and long ones */
    tsdb_set_limits(sim->m.db, &sim->m.limits);
}

static inline void
story_check_same(const char *names)
{
    static struct rules_sim whole;
    story_begin(&whole, run.whole_rules);
    sim_pass(&whole, run.passed_s);
    sim_assert_same(&whole, &run.s, names, SIM_BEGIN + (run.passed_s - run.recent_s) * 1000);
    sim_fini(&whole);
}

static inline void
story_take_check(void)
{
    if (story_is("firing")) return story_check_firing(true);
    if (story_is("still-firing")) return story_check_firing(false);
    if (story_is("same")) return story_check_same(story_word());
    if (story_is("shows")) return assert_true(story_shows());
    if (story_is("hides")) return assert_false(story_shows());
    /* Alerts that were sent, seconds from the end of the last one to when it was sent: */
    if (story_is("sent")) return story_check(run.s.sent_count - run.forgotten);
    if (story_is("ended"))
        return story_check((story_last_sent()->at_ns - story_last_sent()->ends_ns) / NS_PER_S);
    /* samples that were rejected, evaluations that were filled, warnings: */
    if (story_is("rejected")) return story_check((int64_t)run.s.rejected);
    if (story_is("filled")) return story_check((int64_t)story_filled());
    if (story_is("warnings")) return story_check((int64_t)(log_count(LOG_WARN) - run.warnings));
    /* samples and staleness markers of series, markers alone, the second of the last marker: */
    if (story_is("count")) return story_check(sim_find(&run.s, story_word(), 0).samples);
    if (story_is("stale")) return story_check(sim_find(&run.s, story_word(), 0).stale);
    if (story_is("marked"))
        return story_check((sim_find(&run.s, story_word(), 0).stale_ms - SIM_BEGIN) / 1000);
    /* samples that are not the first one, evaluations without a sample, missing samples. */
    if (story_is("changes")) return story_check(sim_find(&run.s, story_word(), 0).changes);
    if (story_is("unrecorded"))
        return story_check(run.evaluations - sim_find(&run.s, story_word(), 0).samples);
    if (story_is("missing")) return story_check(story_missing());
    if (run.more == NULL || !run.more()) fail_msg("unknown step");
}

/* --- steps ------------------------------------------------------------------------------------ */

static const struct {
    const char *word;
    bool *flag;             /* is set to `value`, */
    int64_t value, *number; /* or the number in the script times `value` */
} story_settings[] = {
    {"mute", &run.s.mute, true, NULL}, /* the sender is away */
    {"speak", &run.s.mute, false, NULL},
    {"speed", NULL, 1, &run.s.per_second},           /* seconds of backlog that are sent in one */
    {"own-clock", &run.s.has_own_clock, true, NULL}, /* "clock" does not set the sender's */
    {"refuse", &run.s.write_fails, true, NULL},      /* the store refuses writes of rules */
    {"accept", &run.s.write_fails, false, NULL},
    {"commits-hang", &run.s.settle_hangs, true, NULL},
    {"commits-end", &run.s.settle_hangs, false, NULL},
    {"commits-fail", &run.s.settle_fails, true, NULL},
    {"commits-work", &run.s.settle_fails, false, NULL},
    {"checkpoints-fail", &run.s.save_fails, true, NULL},
    {"memory-fails", &run.s.memory_fails, true, NULL},
    {"memory-returns", &run.s.memory_fails, false, NULL},
    {"slow", NULL, 1, &run.s.slow_ms}, /* queries, for up to so many ms */
    {"resend", NULL, NS_PER_S, &run.s.terms.resend_ns},
    {"catch-up", NULL, NS_PER_S, &run.s.limits.catch_up_ns}, /* from the next load on */
};

static inline bool
story_take_setting(void)
{
    for (size_t i = 0; i < sizeof story_settings / sizeof *story_settings; i++) {
        if (!story_is(story_settings[i].word)) continue;
        if (story_settings[i].flag != NULL)
            *story_settings[i].flag = story_settings[i].value != 0;
        else
            *story_settings[i].number = story_take_number() * story_settings[i].value;
        return true;
    }
    return false;
}

static inline void
story_pass(int64_t seconds)
{
    sim_pass(&run.s, seconds);
    run.passed_s += seconds;
}

/* At all times, endsAt of the alert that was sent last is later. */
static inline void
story_pass_known(int64_t seconds)
{
    for (int64_t i = 0; i < seconds; i += 10) {
        story_pass(10);
        assert_true(story_last_sent()->ends_ns > env_realtime_ms(run.s.m.env) * NS_PER_MS);
    }
}

static inline void
story_count_evaluation(struct rules_sim *sim, const struct scheduler_job *job)
{
    (void)sim;
    run.evaluations += job->work == WORK_EVALUATE;
}

/* Versions without a checkpoint wrote this after each evaluation. */
static inline void
story_write_evaluation(struct rules_sim *sim, const struct scheduler_job *job)
{
    struct rq rq;
    if (job->work != WORK_EVALUATE || !job->outcome.stored) return;
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=firekeep_rule_group_evaluated,rule_group=rules.yml;g,text_hash=1");
    rq_float(&rq, job->how.at_ns / NS_PER_MS, double_bits(30), 0);
    rq_close(&rq);
    must(machine_send(&sim->m, "t", &rq));
    rq_fini(&rq);
    must(tsdb_commit(sim->m.db, &sim->m.why));
}

static inline void
story_sleep(int64_t seconds)
{
    sim_shift_clock(&run.s, seconds);
    run.s.ahead_s -= seconds;
    run.s.mute = true;
}

static inline void
story_take_step(void)
{
    const char *word = run.word;
    if (story_take_setting()) return;
    if (strchr("0123456789$?", word[0]) != NULL) return story_pass(story_number(&word, "s"));
    if (story_is("known-to-fire")) return story_pass_known(story_take_number());
    if (story_is("idle"))
        return sim_env_advance_ns(run.s.m.sim, story_take_number() * NS_PER_S); /* no thread runs */
    if (story_is("clock")) return sim_shift_clock(&run.s, story_take_number());
    if (story_is("sleep")) return story_sleep(story_take_number());
    if (story_is("crash")) return sim_crash(&run.s);
    if (story_is("stop")) return sim_stop(&run.s);
    if (story_is("start")) return sim_start(&run.s, story_rules(story_take_number()));
    if (story_is("load")) return sim_load(&run.s, story_rules(story_take_number()));
    if (story_is("end")) return sim_end_evaluation(&run.s, &run.job);
    if (story_is("begin"))
        run.job = sim_begin_evaluation(&run.s);
    else if (story_is("tenants")) /* the last ones that have rules */
        run.s.tenant_count = 2, run.s.first_tenant = 2 - (unsigned)story_take_number();
    else if (story_is("lose-log-from")) /* this second on */
        run.s.lost_from_ns = SIM_BEGIN * NS_PER_MS + story_take_number() * NS_PER_S;
    else if (story_is("no-checkpoint"))
        must(env_unlink(run.s.m.env, STORE_DIR "/rules/state", NULL));
    else if (story_is("unreadable")) /* queries fail */
        run.s.terms.open = sim_refuse_to_open;
    else if (story_is("readable"))
        run.s.terms.open = sim_open;
    else if (story_is("old-version"))
        run.s.look = story_write_evaluation;
    else if (story_is("count-evaluations"))
        run.s.look = story_count_evaluation;
    else if (story_is("forget"))
        run.forgotten = run.s.sent_count;
    else
        story_take_check();
}

static inline void
story_run_once(int64_t value, uint64_t seed, const char *script)
{
    run.value = value;
    run.seed = seed;
    run.passed_s = run.whole_rules = 0;
    run.recent_s = 100;
    run.random_count = run.forgotten = run.evaluations = 0;
    run.at = run.step = script;
    run.warnings = log_count(LOG_WARN);
    story_begin(&run.s, 0);
    while (*(run.at += strspn(run.at, " ")) != '\0') {
        run.step = run.at;
        story_word();
        story_take_step();
    }
    sim_fini(&run.s);
    run.step = NULL;
}

static inline void
story_test(void **state)
{
    run.story = *state;
    const char *script = run.story->script, *rest;
    bool has_seeds = strncmp(script, "seeds ", 6) == 0;
    if (!has_seeds && strncmp(script, "for ", 4) != 0) return story_run_once(0, 1, script);
    assert_non_null(strchr(script, ':'));
    rest = strchr(script, ':') + 1;
    uint64_t seeds = has_seeds ? sim_seed_count(strtoull(script + 6, NULL, 10)) : 0;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        story_run_once((int64_t)seed, seed, rest);
    }
    for (const char *at = script + 4; !has_seeds && at < rest; at++) {
        char *end;
        int64_t from = strtoll(at, &end, 10), to = from, step = 1;
        if (strncmp(end, "..", 2) == 0) to = strtoll(end + 2, &end, 10);
        if (*end == '+') step = strtoll(end + 1, &end, 10);
        for (at = end; from <= to; from += step) {
            story_run_once(from, 1, rest);
        }
    }
}

static inline int
story_print_failure(void **state)
{
    const struct story *story = *state;
    if (run.step == NULL) return 0;
    printf("%s: failed at \"%.*s\", byte %d of \"%s\", where $ is %lld\n", story->claim,
           (int)(run.at - run.step), run.step, (int)(run.step - story->script), story->script,
           (long long)run.value);
    run.step = NULL;
    return 0;
}

/* --- tables ----------------------------------------------------------------------------------- */

#define STORY(claim, script, ...) \
    {                             \
        claim, script,            \
        {                         \
            __VA_ARGS__           \
        }                         \
    }
#define G(rules)              GROUP("g", rules)
#define EACH(interval, rules) "groups: [{name: g, interval: " interval ", rules: [" rules "]}]\n"

enum { STORIES_MAX = 128 };

/* Runs each story as a test that is named by its claim. Returns the number of failed tests. */
static inline int
story_run_all(const struct story *stories, size_t count)
{
    static struct CMUnitTest tests[STORIES_MAX];
    assert_true(count <= STORIES_MAX);
    for (size_t i = 0; i < count; i++) {
        tests[i] = (struct CMUnitTest){stories[i].claim, story_test, NULL, story_print_failure,
                                       (void *)(uintptr_t)&stories[i]};
    }
    return _cmocka_run_group_tests("stories", tests, count, NULL, NULL);
}

#endif
