/*
 * ruler_shown.c - rules as the API and /metrics show them.
 *
 * Invariants of a page of groups:
 *  1. Only a page with a limit is full, and it has as many groups as the limit says.
 *  2. A page with a token for the next one is full.
 */
#include <assert.h>
#include <gnutls/crypto.h>
#include <stdio.h>

#include "app/rules/ruler.h"
#include "base/text/hex.h"

/* --- /api/v1/rules ---------------------------------------------------------------------------- */

enum { TOKEN_BYTES = 20 };

struct rules_printing {
    const struct rules_question *question;
    struct json *to;
    bool found;   /* the group that the request's token identifies was printed */
    bool is_full; /* there are more groups than the page may have */
    uint64_t count;
    char token[2 * TOKEN_BYTES + 1]; /* token of the first group that is not on the page */
};

/* As Prometheus makes it, by which a page begins where the last one ended. False: no memory. */
static bool
token_of(const struct rule_group *text, char to[2 * TOKEN_BYTES + 1])
{
    uint8_t hash[TOKEN_BYTES];
    struct buf key;
    buf_init(&key, NULL, RULE_FILE_BYTES_MAX);
    buf_printf(&key, "%s;%s", text->file, text->name);
    bool made =
        buf_error(&key) == OK && gnutls_hash_fast(GNUTLS_DIG_SHA1, key.at, key.size, hash) == 0;
    buf_fini(&key);
    if (made) hex_print(bytes_of(hash, sizeof hash), to);
    return made;
}

static bool
is_named(const struct text_list *names, const char *name)
{
    for (uint32_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i], name) == 0) return true;
    }
    return names->count == 0;
}

/* Says whether the sender may know that the group exists: a token can be computed by anyone. */
static bool
is_visible(struct group *group, const struct permitted *permitted)
{
    struct group_question any = {.alerting = true, .permitted = permitted};
    return permitted == NULL || group_answers(group, &any);
}

static void
print_group(void *context, struct group *group, int64_t next_ns)
{
    (void)next_ns;
    struct rules_printing *p = context;
    const struct rules_question *q = p->question;
    const struct rule_group *text = &group->text;
    char token[2 * TOKEN_BYTES + 1];
    assert(!p->is_full || p->count == q->group_limit); /* invariant 1 */
    if (p->is_full) return;
    if (!p->found) {
        if (!token_of(text, token) || !bytes_equal_text(q->next_token, token)) return;
        if (!is_visible(group, q->of_group.permitted)) return;
        p->found = true;
    }
    if (!is_named(&q->groups, text->name) || !is_named(&q->files, text->file)) return;
    if (q->group_limit > 0 && p->count == q->group_limit) {
        p->is_full = group_answers(group, &q->of_group) && token_of(text, p->token);
        return;
    }
    p->count += group_print(group, &q->of_group, p->to);
}

enum err
ruler_print(struct ruler *r, const struct rules_question *question, struct json *to)
{
    struct rules_printing p = {.question = question, .to = to};
    p.found = question->group_limit == 0 || question->next_token.size == 0;
    json_member_array(to, "groups");
    ruler_each(r, question->tenant, print_group, &p);
    json_array_close(to);
    assert(p.is_full == (p.token[0] != '\0')); /* invariant 2 */
    if (p.is_full) json_member_text(to, "groupNextToken", p.token);
    return p.found ? OK : ERR_MISSING;
}

struct alerts_printing {
    const struct permitted *permitted;
    struct json *to;
};

static void
print_alerts(void *context, struct group *group, int64_t next_ns)
{
    const struct alerts_printing *p = context;
    (void)next_ns;
    group_print_alerts(group, p->permitted, p->to);
}

void
ruler_print_alerts(struct ruler *r, struct bytes tenant, const struct permitted *permitted,
                   struct json *to)
{
    struct alerts_printing p = {permitted, to};
    ruler_each(r, tenant, print_alerts, &p);
}

/* --- /metrics --------------------------------------------------------------------------------- */

enum rules_shown {
    SHOWN_EVALUATIONS,
    SHOWN_FAILURES,
    SHOWN_INTERVAL,
    SHOWN_ITERATIONS,
    SHOWN_MISSED,
    SHOWN_DURATION,
    SHOWN_SAMPLES,
    SHOWN_TIME,
    SHOWN_RULES_DURATION,
    SHOWN_RESTORED,
    SHOWN_NEXT,
    SHOWN_RULES,
    SHOWN_COUNT,
};

static const struct metric_family families[SHOWN_COUNT] = {
    [SHOWN_EVALUATIONS] = {"firekeep_rule_evaluations_total",
                           "Live evaluations of rules, one for each rule of a group.",
                           METRIC_KIND_COUNTER},
    [SHOWN_FAILURES] = {"firekeep_rule_evaluation_failures_total",
                        "Live evaluations of rules that failed, or whose results were not stored, "
                        "one for each rule of a group.",
                        METRIC_KIND_COUNTER},
    [SHOWN_INTERVAL] = {"firekeep_rule_group_interval_seconds",
                        "Interval of a rule group, in seconds.", METRIC_KIND_GAUGE},
    [SHOWN_ITERATIONS] = {"firekeep_rule_group_iterations_total",
                          "Scheduled evaluations of a rule group that were made at their time.",
                          METRIC_KIND_COUNTER},
    [SHOWN_MISSED] = {"firekeep_rule_group_iterations_missed_total",
                      "Evaluations of a rule group that were missed, for example because the one "
                      "before took too long.",
                      METRIC_KIND_COUNTER},
    [SHOWN_DURATION] = {"firekeep_rule_group_last_duration_seconds",
                        "Duration of the last evaluation of a rule group, in seconds.",
                        METRIC_KIND_GAUGE},
    [SHOWN_SAMPLES] = {"firekeep_rule_group_last_evaluation_samples",
                       "Samples that came of the last evaluation of a rule group.",
                       METRIC_KIND_GAUGE},
    [SHOWN_TIME] = {"firekeep_rule_group_last_evaluation_timestamp_seconds",
                    "Unix time of the last evaluation of a rule group, in seconds.",
                    METRIC_KIND_GAUGE},
    [SHOWN_RULES_DURATION] = {"firekeep_rule_group_last_rule_duration_sum_seconds",
                              "Duration of the last evaluations of all rules of a group together, "
                              "in seconds.",
                              METRIC_KIND_GAUGE},
    [SHOWN_RESTORED] = {"firekeep_rule_group_last_restore_duration_seconds",
                        "Duration of the last restoring of alerts of a rule group, in seconds.",
                        METRIC_KIND_GAUGE},
    [SHOWN_NEXT] = {"firekeep_rule_group_next_timestamp_seconds",
                    "Unix time of the next evaluation of the recording rules of a group, or of its "
                    "alerting rules if it has no others, in seconds.",
                    METRIC_KIND_GAUGE},
    [SHOWN_RULES] = {"firekeep_rule_group_rules", "Rules of a group.", METRIC_KIND_GAUGE},
};

static const struct metric_family catch_up_family = {
    "firekeep_rule_catch_up",
    "State of the recording rules of a tenant: 1 for the one that it is in. live: evaluations are "
    "made at their times; waits: some were missed, and samples that senders have kept are awaited; "
    "fills: what was missed is evaluated.",
    METRIC_KIND_GAUGE,
};
static const struct metric_family skipped_family = {
    "firekeep_rule_evaluations_skipped_total",
    "Missed evaluations of rule groups that are not made, one for all rules of a group: too_old: "
    "older than rules.catch_up; too_slow: evaluating them took longer than the time they covered, "
    "or what they read was away.",
    METRIC_KIND_COUNTER,
};
static const struct metric_family filled_family = {
    "firekeep_rule_evaluations_filled_total",
    "Missed evaluations of rule groups that were made later, one for all rules of a group.",
    METRIC_KIND_COUNTER,
};
static const struct metric_family different_family = {
    "firekeep_rule_results_different_total",
    "Results of missed evaluations that were not stored, because another value is.",
    METRIC_KIND_COUNTER,
};
static const struct metric_family checkpoint_families[] = {
    {"firekeep_rule_checkpoints_total", "Checkpoints of rules that were written.",
     METRIC_KIND_COUNTER},
    {"firekeep_rule_checkpoint_written_bytes_total", "Bytes of checkpoints of rules.",
     METRIC_KIND_COUNTER},
    {"firekeep_rule_checkpoint_failures_total", "Checkpoints of rules that could not be written.",
     METRIC_KIND_COUNTER},
    {"firekeep_rule_checkpoint_unreadable",
     "1 if the checkpoint of rules could not be read at the start.", METRIC_KIND_GAUGE},
};

struct collecting {
    struct metric_sink *sink;
    enum rules_shown shown;
};

static void
put_u64(struct collecting *c, const struct metric_pair *pairs, size_t count, uint64_t value)
{
    metric_put_u64(c->sink, &families[c->shown], pairs, count, value);
}

static void
put_double(struct collecting *c, const struct metric_pair *pairs, size_t count, double value)
{
    metric_put_double(c->sink, &families[c->shown], pairs, count, value);
}

/* The labels of a group, into `pairs` and `key`. Returns how many: with tenancy the same file may
 * be that of several. 0: there is no memory. */
static size_t
name_group(const struct group *group, const struct group_facts *f, struct buf *key,
           struct metric_pair pairs[2])
{
    buf_init(key, NULL, RULE_FILE_BYTES_MAX);
    buf_printf(key, "%s;%s", f->file, f->name);
    pairs[0] = (struct metric_pair){"rule_group", buf_bytes(key)};
    pairs[1] = (struct metric_pair){"tenant", group->tenant};
    if (buf_error(key)) return 0;
    return bytes_equal_text(group->tenant, "anonymous") ? 1 : 2;
}

static void
collect_group(void *context, struct group *group, int64_t next_ns)
{
    struct collecting *c = context;
    struct group_facts f;
    struct metric_pair pairs[2];
    struct buf key;
    group_facts(group, &f);
    size_t n = name_group(group, &f, &key, pairs);
    if (n > 0) {
        switch (c->shown) {
        case SHOWN_EVALUATIONS:
            put_u64(c, pairs, n, f.evaluations);
            break;
        case SHOWN_FAILURES:
            put_u64(c, pairs, n, f.failures);
            break;
        case SHOWN_ITERATIONS:
            put_u64(c, pairs, n, f.iterations);
            break;
        case SHOWN_MISSED:
            put_u64(c, pairs, n, f.missed);
            break;
        case SHOWN_SAMPLES:
            put_u64(c, pairs, n, f.samples);
            break;
        case SHOWN_RULES:
            put_u64(c, pairs, n, f.rules);
            break;
        case SHOWN_INTERVAL:
            put_double(c, pairs, n, (double)f.interval_ns / 1e9);
            break;
        case SHOWN_DURATION:
            put_double(c, pairs, n, (double)f.evaluated_for_ns / 1e9);
            break;
        case SHOWN_TIME:
            put_double(c, pairs, n, (double)f.evaluated_at_ns / 1e9);
            break;
        case SHOWN_RULES_DURATION:
            put_double(c, pairs, n, (double)f.rules_took_ns / 1e9);
            break;
        case SHOWN_RESTORED:
            put_double(c, pairs, n, (double)f.restored_for_ns / 1e9);
            break;
        case SHOWN_NEXT:
            put_double(c, pairs, n, (double)next_ns / 1e9);
            break;
        case SHOWN_COUNT:
            break;
        }
    }
    buf_fini(&key);
}

static void
collect_catch_up(void *context, struct bytes tenant, enum catch_up state)
{
    static const char *const words[] = {"live", "waits", "fills"};
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        struct metric_pair pairs[] = {{"tenant", tenant}, {"state", bytes_of_text(words[i])}};
        metric_put_u64(context, &catch_up_family, pairs, 2, i == (unsigned)state);
    }
}

static void
collect_totals(struct metric_sink *sink, struct ruler *ruler)
{
    struct scheduler_totals t;
    struct metric_pair reason = {"reason", bytes_of_text("too_old")};
    ruler_totals(ruler, &t);
    metric_put_u64(sink, &skipped_family, &reason, 1, t.skipped_too_old);
    reason.value = bytes_of_text("too_slow");
    metric_put_u64(sink, &skipped_family, &reason, 1, t.skipped_too_slow);
    metric_put_u64(sink, &filled_family, NULL, 0, t.filled);
    metric_put_u64(sink, &different_family, NULL, 0, t.different);
    const uint64_t values[] = {t.checkpoints, t.checkpoint_bytes, t.checkpoint_failures,
                               ruler_lost_checkpoint(ruler)};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        metric_put_u64(sink, &checkpoint_families[i], NULL, 0, values[i]);
    }
}

/* One family at a time, so that its series come one after the other. */
void
ruler_collect(struct metric_sink *sink, void *ruler)
{
    for (unsigned shown = 0; shown < SHOWN_COUNT; shown++) {
        struct collecting c = {sink, (enum rules_shown)shown};
        ruler_each(ruler, (struct bytes){NULL, 0}, collect_group, &c);
    }
    ruler_each_tenant(ruler, collect_catch_up, sink);
    collect_totals(sink, ruler);
    metric_put_budget(sink, ruler_memory(ruler));
}
