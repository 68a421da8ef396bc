/*
 * merged_set.c - see merged_set.h. Samples of a series that several sets have:
 * model/sample_merge.h.
 *
 * Invariants:
 *
 * 1. The present series has at least one member that is READ. All of those have its labels.
 * 2. A WAITING member has the labels of a series that was not returned.
 */
#include "views/merged_set.h"

#include <assert.h>

#include "model/labels.h"
#include "model/sample_merge.h"
#include "views/gather.h"

/* A set, with its next series. */
struct merged_member {
    struct series_set *set;
    enum {
        MEMBER_UNREAD,  /* its first series is to be read */
        MEMBER_WAITING, /* its series is a later one of the answer */
        MEMBER_READ,    /* its series is the present one of the answer */
        MEMBER_ENDED,
    } state;
    struct buf labels;
};

struct merged_set {
    struct series_set set; /* first: callers get it */
    struct budget *budget;
    uint32_t count;
    struct sample_merge samples; /* samples of the current series */
    struct merged_member members[];
};

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

/* --- series ----------------------------------------------------------------------------------- */

static enum err
member_advance(struct merged_member *m, struct why *why)
{
    struct bytes labels;
    enum err e = series_set_next(m->set, &labels, why);
    m->state = MEMBER_WAITING;
    if (e) return e;
    buf_clear(&m->labels);
    if (labels.at == NULL) {
        m->state = MEMBER_ENDED;
        return OK;
    }
    buf_put_bytes(&m->labels, labels);
    return buf_error(&m->labels) ? no_memory(why) : OK;
}

static enum err
merged_set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct merged_set *s = (struct merged_set *)set;
    const struct merged_member *least = NULL;
    *ret_labels = bytes_of(NULL, 0);
    for (uint32_t i = 0; i < s->count; i++) {
        struct merged_member *m = &s->members[i];
        bool is_past = m->state == MEMBER_READ || m->state == MEMBER_UNREAD;
        enum err e = is_past ? member_advance(m, why) : OK;
        if (e) return e;
        if (m->state == MEMBER_ENDED) continue;
        assert(m->state == MEMBER_WAITING); /* invariant 2 */
        if (least == NULL || labels_compare(buf_bytes(&m->labels), buf_bytes(&least->labels)) < 0) {
            least = m;
        }
    }
    sample_merge_clear(&s->samples);
    if (least == NULL) return OK;
    *ret_labels = buf_bytes(&least->labels);
    if (ret_labels->size == 0) *ret_labels = bytes_of("", 0); /* a series without labels */
    for (uint32_t i = 0; i < s->count; i++) {
        struct merged_member *m = &s->members[i];
        bool is_in = m->state == MEMBER_WAITING && bytes_equal(buf_bytes(&m->labels), *ret_labels);
        if (!is_in) continue;
        m->state = MEMBER_READ;
        if (sample_merge_add(&s->samples, m)) return no_memory(why);
    }
    assert(least->state == MEMBER_READ); /* invariant 1 */
    return OK;
}

/* --- samples ---------------------------------------------------------------------------------- */

static enum err
member_batch(void *from, struct sample_batch *ret_batch, struct why *why)
{
    return series_set_batch(((struct merged_member *)from)->set, ret_batch, why);
}

static enum err
merged_set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    return sample_merge_batch(&((struct merged_set *)set)->samples, ret_batch, why);
}

/* --- a set ------------------------------------------------------------------------------------ */

static const char *
merged_set_warning(struct series_set *set, uint32_t index)
{
    struct merged_set *s = (struct merged_set *)set;
    for (uint32_t i = 0; i < s->count; i++) {
        const char *sentence;
        for (uint32_t k = 0; (sentence = series_set_warning(s->members[i].set, k)) != NULL; k++) {
            if (index-- == 0) return sentence;
        }
    }
    return NULL;
}

static struct series_cost
merged_set_spent(const struct series_set *set)
{
    const struct merged_set *s = (const struct merged_set *)set;
    struct series_cost all = {.series = 0}, one;
    for (uint32_t i = 0; i < s->count; i++) {
        if (series_set_spent(s->members[i].set, &one)) series_cost_add(&all, &one);
    }
    return all;
}

static void
merged_set_free(struct series_set *set)
{
    struct merged_set *s = (struct merged_set *)set;
    for (uint32_t i = 0; i < s->count; i++) {
        series_set_free(s->members[i].set);
        buf_fini(&s->members[i].labels);
    }
    sample_merge_fini(&s->samples);
    mem_free(s->budget, s, sizeof *s + s->count * sizeof *s->members);
}

enum err
merged_set_new(struct series_set *const *sets, uint32_t count, struct budget *budget,
               struct series_set **ret_set, struct why *why)
{
    static const struct series_set_ops ops = {.next = merged_set_next,
                                              .batch = merged_set_batch,
                                              .warning = merged_set_warning,
                                              .spent = merged_set_spent,
                                              .free = merged_set_free};
    assert(count > 0);
    struct merged_set *s =
        count == 1 ? NULL : mem_new(budget, sizeof *s + count * sizeof *s->members);
    if (count == 1) {
        *ret_set = sets[0];
        return OK;
    }
    if (s == NULL) {
        for (uint32_t i = 0; i < count; i++) {
            series_set_free(sets[i]);
        }
        return no_memory(why);
    }
    s->set.ops = &ops;
    s->budget = budget;
    s->count = count;
    sample_merge_init(&s->samples, member_batch, budget);
    for (uint32_t i = 0; i < count; i++) {
        s->members[i].set = sets[i];
        buf_init(&s->members[i].labels, budget, GATHERED_LABEL_BYTES_MAX);
    }
    *ret_set = &s->set;
    return OK;
}
