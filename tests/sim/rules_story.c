/* rules_story.c - see rules_story.h. */
#include "sim/rules_story.h"

struct story_run story_run;

/* --- words ------------------------------------------------------------------------------------ */

const char *
story_word(void)
{
    story_run.at += strspn(story_run.at, " ");
    size_t size = strcspn(story_run.at, " ");
    snprintf(story_run.word, sizeof story_run.word, "%.*s", (int)size, story_run.at);
    story_run.at += size;
    return story_run.word;
}

bool
story_is(const char *word)
{
    return strcmp(story_run.word, word) == 0;
}

static int64_t
story_term(const char **at)
{
    if (**at == '$') return ++*at, story_run.value;
    if (**at == 'T') return ++*at, story_run.passed_s;
    bool is_random = **at == '?';
    const char *digits = *at + is_random;
    int64_t n = strtoll(digits, (char **)(uintptr_t)at, 10);
    if (*at == digits) fail_msg("\"%s\" is not a number", story_run.word);
    return is_random ? (int64_t)(sim_mix(story_run.seed, ++story_run.random_count) % (uint64_t)n)
                     : n;
}

static int64_t
story_number(const char **at, const char *end)
{
    int64_t n = story_term(at);
    while (**at != '\0' && strncmp(*at, end, strlen(end)) != 0) {
        char sign = *(*at)++;
        int64_t next = story_term(at);
        if (strchr("+*/", sign) == NULL) fail_msg("\"%s\" is not a number", story_run.word);
        n = sign == '+' ? n + next : sign == '*' ? n * next : n / next;
    }
    return n;
}

int64_t
story_take_number(void)
{
    const char *at = story_word();
    return story_number(&at, " ");
}

void
story_check(int64_t is)
{
    const char *at = story_word();
    int64_t min = story_number(&at, ".."), max = min;
    if (*at != '\0') at += 2, max = story_number(&at, " ");
    if (is < min || is > max) fail_msg("it is %lld", (long long)is);
}

static void
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

const char *
story_rules(int64_t index)
{
    size_t size = 0;
    assert_in_range(index, 0, 4);
    assert_non_null(story_run.story->rules[index]);
    for (const char *at = story_run.story->rules[index]; *at != '\0'; at++) {
        char to[32] = {*at};
        if (*at == '$') snprintf(to, sizeof to, "%lld", (long long)story_run.value);
        if (*at == '#') story_name_of_same_time(to, sizeof to);
        size += (size_t)snprintf(story_run.rules + size, sizeof story_run.rules - size, "%s", to);
        assert_true(size < sizeof story_run.rules);
    }
    return story_run.rules;
}

/* --- checks ----------------------------------------------------------------------------------- */

static const struct sim_sent *
story_last_sent(void)
{
    assert_true(story_run.s.sent_count > story_run.forgotten);
    return &story_run.s.sent[story_run.s.sent_count - 1];
}

/* Checks that an alert that was sent as firing before fires since the same time. */
static void
story_check_since(const struct sim_sent *alert)
{
    for (uint32_t i = (uint32_t)(alert - story_run.s.sent); i-- > 0;) {
        const struct sim_sent *before = &story_run.s.sent[i];
        if (strcmp(alert->labels, before->labels) != 0) continue;
        if (before->ends_ns > before->at_ns)
            assert_true(alert->starts_ns / NS_PER_S == before->starts_ns / NS_PER_S);
        return;
    }
}

/* Checks that all sent alerts fire: since one time, or each since the same time as before. */
static void
story_check_firing(bool since_one_time)
{
    const struct sim_sent *first = &story_run.s.sent[story_run.forgotten],
                          *last = story_last_sent();
    for (const struct sim_sent *alert = first; alert <= last; alert++) {
        assert_true(alert->ends_ns > alert->at_ns);
        if (since_one_time)
            assert_true(alert->starts_ns == first->starts_ns);
        else
            story_check_since(alert);
    }
}

static uint64_t
story_filled(void)
{
    struct scheduler_totals totals;
    scheduler_totals(story_run.s.scheduler, &totals);
    assert_int_equal(totals.different, 0);
    return totals.filled;
}

/* Counts half minutes from a second on, minus the samples of a series. */
static int64_t
story_missing(void)
{
    int64_t from_ms = SIM_BEGIN + story_take_number() * 1000;
    struct sim_found found = sim_find(&story_run.s, story_word(), from_ms);
    return (env_realtime_ms(story_run.s.m.env) - from_ms) / 30000 - (found.samples - found.stale);
}

/* Says whether the group evaluated by "begin" and "end" shows a text; "_" in it is a space. */
static bool
story_shows(void)
{
    static const struct group_question all = {.alerting = true, .recording = true};
    char *want = story_run.word;
    struct buf text;
    struct json json;
    buf_init(&text, NULL, 1 << 16);
    json_init(&json, &text);
    assert_true(group_print(story_run.job.entry->group, &all, &json));
    buf_put_u8(&text, '\0');
    story_word();
    for (char *space; (space = strchr(want, '_')) != NULL;)
        *space = ' ';
    bool is_there = strstr((const char *)text.at, want) != NULL;
    buf_fini(&text);
    return is_there;
}

static void
story_begin(struct rules_sim *sim, int64_t index)
{
    sim_init(sim, story_run.seed, story_rules(index));
    sim->m.limits.labels =
        (struct labels_limits){300, 100, 8192}; /* stories have many and long ones */
    tsdb_set_limits(sim->m.db, &sim->m.limits);
}

static void
story_check_same(const char *names)
{
    static struct rules_sim whole;
    story_begin(&whole, story_run.whole_rules);
    sim_pass(&whole, story_run.passed_s);
    sim_assert_same(&whole, &story_run.s, names,
                    SIM_BEGIN + (story_run.passed_s - story_run.recent_s) * 1000);
    sim_fini(&whole);
}

static void
story_take_check(void)
{
    if (story_is("firing")) return story_check_firing(true);
    if (story_is("still-firing")) return story_check_firing(false);
    if (story_is("same")) return story_check_same(story_word());
    if (story_is("shows")) return assert_true(story_shows());
    if (story_is("hides")) return assert_false(story_shows());
    /* These check alerts that were sent, and the seconds from the end of the last one to its
     * sending.
     */
    if (story_is("sent")) return story_check(story_run.s.sent_count - story_run.forgotten);
    if (story_is("ended"))
        return story_check((story_last_sent()->at_ns - story_last_sent()->ends_ns) / NS_PER_S);
    /* These check rejected samples, filled evaluations, warnings. */
    if (story_is("rejected")) return story_check((int64_t)story_run.s.rejected);
    if (story_is("filled")) return story_check((int64_t)story_filled());
    if (story_is("warnings"))
        return story_check((int64_t)(log_count(LOG_WARN) - story_run.warnings));
    /* These check samples and markers of series, markers alone, the second of the last marker. */
    if (story_is("count")) return story_check(sim_find(&story_run.s, story_word(), 0).samples);
    if (story_is("stale")) return story_check(sim_find(&story_run.s, story_word(), 0).stale);
    if (story_is("marked"))
        return story_check((sim_find(&story_run.s, story_word(), 0).stale_ms - SIM_BEGIN) / 1000);
    /* These check changed samples, evaluations without a sample, missing samples. */
    if (story_is("changes")) return story_check(sim_find(&story_run.s, story_word(), 0).changes);
    if (story_is("unrecorded"))
        return story_check(story_run.evaluations - sim_find(&story_run.s, story_word(), 0).samples);
    if (story_is("missing")) return story_check(story_missing());
    if (story_run.more == NULL || !story_run.more()) fail_msg("unknown step");
}

/* --- steps ------------------------------------------------------------------------------------ */

static const struct {
    const char *word;
    bool *flag;             /* is set to `value`; */
    int64_t value, *number; /* is set to the number in the script times `value` */
} story_settings[] = {
    {"mute", &story_run.s.mute, true, NULL}, /* the sender is away */
    {"speak", &story_run.s.mute, false, NULL},
    {"speed", NULL, 1, &story_run.s.per_second},           /* seconds of backlog sent each second */
    {"own-clock", &story_run.s.has_own_clock, true, NULL}, /* "clock" does not set the sender's */
    {"refuse", &story_run.s.write_fails, true, NULL},      /* the store refuses writes of rules */
    {"accept", &story_run.s.write_fails, false, NULL},
    {"commits-hang", &story_run.s.settle_hangs, true, NULL},
    {"commits-end", &story_run.s.settle_hangs, false, NULL},
    {"commits-fail", &story_run.s.settle_fails, true, NULL},
    {"commits-work", &story_run.s.settle_fails, false, NULL},
    {"checkpoints-fail", &story_run.s.save_fails, true, NULL},
    {"memory-fails", &story_run.s.memory_fails, true, NULL},
    {"memory-returns", &story_run.s.memory_fails, false, NULL},
    {"slow", NULL, 1, &story_run.s.slow_ms}, /* delays queries by up to this many ms */
    {"resend", NULL, NS_PER_S, &story_run.s.terms.resend_ns},
    /* applies from the next load on */
    {"catch-up", NULL, NS_PER_S, &story_run.s.limits.catch_up_ns},
    {"catch-up-wait", NULL, NS_PER_S, &story_run.s.limits.catch_up_wait_ns},
};

static bool
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

static void
story_pass(int64_t seconds)
{
    sim_pass(&story_run.s, seconds);
    story_run.passed_s += seconds;
}

/* Checks that endsAt of the last sent alert is always in the future. */
static void
story_pass_known(int64_t seconds)
{
    for (int64_t i = 0; i < seconds; i += 10) {
        story_pass(10);
        assert_true(story_last_sent()->ends_ns > env_realtime_ms(story_run.s.m.env) * NS_PER_MS);
    }
}

static void
story_count_evaluation(struct rules_sim *sim, const struct scheduler_job *job)
{
    (void)sim;
    story_run.evaluations += job->work == WORK_EVALUATE;
}

/* Writes the sample that versions without a checkpoint wrote after each evaluation. */
static void
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

static void
story_sleep(int64_t seconds)
{
    sim_shift_clock(&story_run.s, seconds);
    story_run.s.ahead_s -= seconds;
    story_run.s.mute = true;
}

static void
story_take_step(void)
{
    const char *word = story_run.word;
    if (story_take_setting()) return;
    if (strchr("0123456789$?", word[0]) != NULL) return story_pass(story_number(&word, "s"));
    if (story_is("known-to-fire")) return story_pass_known(story_take_number());
    if (story_is("idle"))
        return sim_env_advance_ns(story_run.s.m.sim,
                                  story_take_number() * NS_PER_S); /* no thread runs */
    if (story_is("clock")) return sim_shift_clock(&story_run.s, story_take_number());
    if (story_is("sleep")) return story_sleep(story_take_number());
    if (story_is("crash")) return sim_crash(&story_run.s);
    if (story_is("stop")) return sim_stop(&story_run.s);
    if (story_is("start")) return sim_start(&story_run.s, story_rules(story_take_number()));
    if (story_is("load")) return sim_load(&story_run.s, story_rules(story_take_number()));
    if (story_is("end")) return sim_end(&story_run.s, &story_run.job);
    if (story_is("begin"))
        sim_begin(&story_run.s, WORK_EVALUATE, &story_run.job);
    else if (story_is("begin-fill"))
        sim_begin(&story_run.s, WORK_FILL, &story_run.job);
    else if (story_is("cancel-fills"))
        scheduler_cancel_fills(story_run.s.scheduler);
    else if (story_is("begin-checkpoint"))
        sim_begin(&story_run.s, WORK_CHECKPOINT, &story_run.job);
    else if (story_is("tenants")) /* number of tenants that have rules, the last ones */
        story_run.s.tenant_count = 2, story_run.s.first_tenant = 2 - (unsigned)story_take_number();
    else if (story_is("lose-log-from")) /* the log loses what follows this second */
        story_run.s.lost_from_ns = SIM_BEGIN * NS_PER_MS + story_take_number() * NS_PER_S;
    else if (story_is("no-checkpoint"))
        must(env_unlink(story_run.s.m.env, STORE_DIR "/rules/state", NULL));
    else if (story_is("unreadable")) /* queries fail */
        story_run.s.terms.open = sim_refuse_to_open;
    else if (story_is("readable"))
        story_run.s.terms.open = sim_open;
    else if (story_is("old-version"))
        story_run.s.look = story_write_evaluation;
    else if (story_is("count-evaluations"))
        story_run.s.look = story_count_evaluation;
    else if (story_is("forget"))
        story_run.forgotten = story_run.s.sent_count;
    else
        story_take_check();
}

static void
story_run_once(int64_t value, uint64_t seed, const char *script)
{
    story_run.value = value;
    story_run.seed = seed;
    story_run.passed_s = story_run.whole_rules = 0;
    story_run.recent_s = 100;
    story_run.random_count = story_run.forgotten = story_run.evaluations = 0;
    story_run.at = story_run.step = script;
    story_run.warnings = log_count(LOG_WARN);
    story_begin(&story_run.s, 0);
    while (*(story_run.at += strspn(story_run.at, " ")) != '\0') {
        story_run.step = story_run.at;
        story_word();
        story_take_step();
    }
    sim_fini(&story_run.s);
    story_run.step = NULL;
}

static void
story_test(void **state)
{
    story_run.story = *state;
    const char *script = story_run.story->script, *rest;
    bool has_seeds = strncmp(script, "seeds ", 6) == 0;
    if (!has_seeds && strncmp(script, "for ", 4) != 0) return story_run_once(0, 1, script);
    assert_non_null(strchr(script, ':'));
    rest = strchr(script, ':') + 1;
    uint64_t seeds = has_seeds ? sim_seed_count(strtoull(script + 6, NULL, 10)) : 0;
    for (uint64_t seed = 1; seed <= seeds; seed++)
        story_run_once((int64_t)seed, seed, rest);
    for (const char *at = script + 4; !has_seeds && at < rest; at++) {
        char *end;
        int64_t from = strtoll(at, &end, 10), to = from, step = 1;
        if (strncmp(end, "..", 2) == 0) to = strtoll(end + 2, &end, 10);
        if (*end == '+') step = strtoll(end + 1, &end, 10);
        for (at = end; from <= to; from += step)
            story_run_once(from, 1, rest);
    }
}

static int
story_print_failure(void **state)
{
    const struct story *story = *state;
    if (story_run.step == NULL) return 0;
    printf("%s: failed at \"%.*s\", byte %d of \"%s\", where $ is %lld\n", story->claim,
           (int)(story_run.at - story_run.step), story_run.step,
           (int)(story_run.step - story->script), story->script, (long long)story_run.value);
    story_run.step = NULL;
    return 0;
}

/* --- tables ----------------------------------------------------------------------------------- */

enum { STORIES_MAX = 128 };

int
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
