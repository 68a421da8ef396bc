/* ruler_shown.c - rules as the API and /metrics show them. */
#include <gnutls/crypto.h>
#include <stdio.h>

#include "app/ruler.h"
#include "base/hex.h"

/* --- /api/v1/rules ---------------------------------------------------------------------------- */

enum { TOKEN_BYTES = 20 };

struct printing {
    const struct rules_question *question;
    struct json *to;
    bool found;   /* the group that the token stands for, */
    bool is_full; /* and as many as are wanted, and one more */
    uint64_t count;
    char token[2 * TOKEN_BYTES + 1]; /* of the first that is left */
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

static void
print_group(void *context, struct group *group)
{
    struct printing *p = context;
    const struct rules_question *q = p->question;
    const struct rule_group *text = group_text(group);
    char token[2 * TOKEN_BYTES + 1];
    if (p->is_full) return;
    if (!p->found) {
        if (!token_of(text, token) || !bytes_equal_text(q->next_token, token)) return;
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
    struct printing p = {.question = question, .to = to};
    p.found = question->group_limit == 0 || question->next_token.size == 0;
    json_member_array(to, "groups");
    ruler_each(r, question->tenant, print_group, &p);
    json_array_close(to);
    if (p.is_full) json_member_text(to, "groupNextToken", p.token);
    return p.found ? OK : ERR_MISSING;
}

static void
print_alerts(void *context, struct group *group)
{
    group_print_alerts(group, context);
}

void
ruler_print_alerts(struct ruler *r, struct bytes tenant, struct json *to)
{
    ruler_each(r, tenant, print_alerts, to);
}

/* --- /metrics --------------------------------------------------------------------------------- */

enum shown {
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
    SHOWN_RULES,
    SHOWN_COUNT,
};

static const struct metric_family families[SHOWN_COUNT] = {
    [SHOWN_EVALUATIONS] = {"firekeep_rule_evaluations_total", "Rule evaluations.",
                           METRIC_KIND_COUNTER},
    [SHOWN_FAILURES] = {"firekeep_rule_evaluation_failures_total",
                        "Rule evaluations that failed, or whose results were not stored.",
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
    [SHOWN_RULES] = {"firekeep_rule_group_rules", "Rules of a group.", METRIC_KIND_GAUGE},
};

static const struct metric_family missing_family = {
    "firekeep_rule_evaluations_missing",
    "Evaluations of a rule group that were missed and are going to be made up.",
    METRIC_KIND_GAUGE,
};
static const struct metric_family oldest_family = {
    "firekeep_rule_evaluations_missing_oldest_timestamp_seconds",
    "Unix time of the oldest evaluation of a rule group that is going to be made up, in seconds; "
    "0 if there is none.",
    METRIC_KIND_GAUGE,
};
static const struct metric_family made_up_family = {
    "firekeep_rule_evaluations_made_up_total",
    "Evaluations of rule groups that were missed and have been made up.",
    METRIC_KIND_COUNTER,
};

struct collecting {
    struct metric_sink *sink;
    enum shown shown;
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
    pairs[1] = (struct metric_pair){"tenant", group_tenant(group)};
    if (buf_error(key)) return 0;
    return bytes_equal_text(group_tenant(group), "anonymous") ? 1 : 2;
}

static void
collect_group(void *context, struct group *group)
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
        case SHOWN_COUNT:
            break;
        }
    }
    buf_fini(&key);
}

/* One family at a time: the series of each stand together. */
struct collecting_owed {
    struct metric_sink *sink;
    bool is_oldest;
};

static void
collect_owed(void *context, struct group *group, struct agenda_owed owed)
{
    const struct collecting_owed *c = context;
    struct group_facts f;
    struct metric_pair pairs[2];
    struct buf key;
    group_facts(group, &f);
    size_t n = name_group(group, &f, &key, pairs);
    if (n > 0 && c->is_oldest)
        metric_put_double(c->sink, &oldest_family, pairs, n, (double)owed.oldest_ns / 1e9);
    else if (n > 0)
        metric_put_u64(c->sink, &missing_family, pairs, n, owed.missing);
    buf_fini(&key);
}

void
ruler_collect(struct metric_sink *sink, void *ruler)
{
    for (unsigned shown = 0; shown < SHOWN_COUNT; shown++) {
        struct collecting c = {sink, (enum shown)shown};
        ruler_each(ruler, (struct bytes){NULL, 0}, collect_group, &c);
    }
    ruler_each_owed(ruler, collect_owed, &(struct collecting_owed){sink, false});
    ruler_each_owed(ruler, collect_owed, &(struct collecting_owed){sink, true});
    metric_put_u64(sink, &made_up_family, NULL, 0, ruler_made_up(ruler));
    metric_put_budget(sink, ruler_memory(ruler));
}
