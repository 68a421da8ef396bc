/* checkpoint_testing.h - a checkpoint is written again from what was read, and compared. For tests
 * and fuzzing. */
#ifndef RULES_CHECKPOINT_TESTING_H
#define RULES_CHECKPOINT_TESTING_H

#include "rules/checkpoint.h"

static inline void
checkpoint_testing_put_group(struct checkpoint_writer *w, const struct checkpoint_group *g)
{
    checkpoint_put_group(w, g);
    for (uint32_t i = 0; i < g->rule_count; i++) {
        checkpoint_put_rule(w, &g->rules[i]);
        for (uint32_t k = 0; k < g->rules[i].alert_count; k++) {
            checkpoint_put_alert(w, &g->rules[i].alerts[k]);
        }
    }
}

/* Into an empty buffer. */
static inline enum err
checkpoint_testing_encode(const struct checkpoint *c, struct buf *to, struct why *why)
{
    struct checkpoint_writer w;
    checkpoint_begin(&w, &c->head, to);
    for (uint32_t i = 0; i < c->tenant_count; i++) {
        const struct checkpoint_tenant *t = &c->tenants[i];
        checkpoint_put_tenant(&w, t);
        for (uint32_t k = 0; k < t->group_count; k++) {
            checkpoint_testing_put_group(&w, &t->groups[k]);
        }
    }
    return checkpoint_end(&w, why);
}

static inline bool
checkpoint_testing_same_labels(const struct label *a, uint32_t a_count, const struct label *b,
                               uint32_t b_count)
{
    bool same = a_count == b_count;
    for (uint32_t i = 0; same && i < a_count; i++) {
        same = bytes_equal(a[i].name, b[i].name) && bytes_equal(a[i].value, b[i].value);
    }
    return same;
}

static inline bool
checkpoint_testing_same_alert(const struct checkpoint_alert *a, const struct checkpoint_alert *b)
{
    return bytes_equal(a->found.labels, b->found.labels) &&
           checkpoint_testing_same_labels(a->found.annotations, a->found.annotation_count,
                                          b->found.annotations, b->found.annotation_count) &&
           a->found.value_bits == b->found.value_bits && a->state == b->state &&
           a->active_at_ns == b->active_at_ns && a->fired_at_ns == b->fired_at_ns &&
           a->resolved_at_ns == b->resolved_at_ns &&
           a->keep_firing_since_ns == b->keep_firing_since_ns && a->sent_at_ns == b->sent_at_ns &&
           a->valid_until_ns == b->valid_until_ns;
}

static inline bool
checkpoint_testing_same_rule(const struct checkpoint_rule *a, const struct checkpoint_rule *b)
{
    bool same =
        bytes_equal(a->name, b->name) && a->nth == b->nth && a->alert_count == b->alert_count &&
        checkpoint_testing_same_labels(a->labels, a->label_count, b->labels, b->label_count);
    for (uint32_t i = 0; same && i < a->alert_count; i++) {
        same = checkpoint_testing_same_alert(&a->alerts[i], &b->alerts[i]);
    }
    return same;
}

static inline bool
checkpoint_testing_same_group(const struct checkpoint_group *a, const struct checkpoint_group *b)
{
    bool same = bytes_equal(a->file, b->file) && bytes_equal(a->name, b->name) &&
                a->interval_ns == b->interval_ns && a->next_ns == b->next_ns &&
                a->retired_ns == b->retired_ns && a->evaluated_at_ns == b->evaluated_at_ns &&
                a->rule_count == b->rule_count;
    for (uint32_t i = 0; same && i < a->rule_count; i++) {
        same = checkpoint_testing_same_rule(&a->rules[i], &b->rules[i]);
    }
    return same;
}

static inline bool
checkpoint_testing_same(const struct checkpoint *a, const struct checkpoint *b)
{
    bool same = memcmp(a->head.log_id, b->head.log_id, sizeof a->head.log_id) == 0 &&
                a->head.written_ns == b->head.written_ns &&
                a->head.latest_ns == b->head.latest_ns && a->tenant_count == b->tenant_count;
    for (uint32_t i = 0; same && i < a->tenant_count; i++) {
        const struct checkpoint_tenant *x = &a->tenants[i], *y = &b->tenants[i];
        same = bytes_equal(x->name, y->name) && x->sender_ms == y->sender_ms &&
               x->group_count == y->group_count;
        for (uint32_t k = 0; same && k < x->group_count; k++) {
            same = checkpoint_testing_same_group(&x->groups[k], &y->groups[k]);
        }
    }
    return same;
}

#endif
