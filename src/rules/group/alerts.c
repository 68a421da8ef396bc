/*
 * alerts.c - see alerts.h.
 *
 * Invariants:
 *  1. No two alerts have the same labels; `table` has each one once, by the hash of its labels.
 *  2. An active alert has no resolved_at_ns, and a pending one neither fired_at_ns nor sent_at_ns.
 *     An inactive alert has a resolved_at_ns.
 *  3. found_in is at most `evaluations`; an evaluation sets it once.
 *  4. Annotations are there as long as the alert is.
 */
#include "rules/group/alerts.h"

#include <assert.h>

#include "base/array.h"
#include "base/hash/hash.h"

const char *
alert_state_word(enum alert_state state)
{
    static const char *const words[] = {"inactive", "pending", "firing"};
    return words[state];
}

void
alerts_init(struct alerts *a, struct budget *budget, uint64_t seed)
{
    *a = (struct alerts){.budget = budget, .seed = seed};
}

static void
annotations_free(struct alerts *a, struct alert_annotations *annotations)
{
    if (annotations != NULL) mem_free(a->budget, annotations, annotations->bytes);
}

static void
alert_free(struct alerts *a, struct alert *alert)
{
    if (alert == NULL) return;
    annotations_free(a, alert->annotations);
    mem_free(a->budget, alert, alert->bytes);
}

void
alerts_fini(struct alerts *a)
{
    for (uint32_t i = 0; i < a->count; i++)
        alert_free(a, a->items[i]);
    assert(a->count <= a->capacity);
    array_free(a->budget, a->items, a->capacity);
    table_fini(&a->table, a->budget);
}

struct alert *
alerts_find(const struct alerts *a, struct bytes labels)
{
    if (a->count == 0) return NULL;
    uint64_t hash = hash_bytes(labels, a->seed);
    for (uint32_t at = TABLE_START, id; table_next(&a->table, hash, &at, &id);)
        if (bytes_equal(a->items[id]->labels, labels)) return a->items[id];
    return NULL;
}

bool
alert_is_due(const struct alert *alert, int64_t at_ns, int64_t interval_ns, int64_t resend_ns)
{
    if (alert->state == ALERT_PENDING) return false;
    if (alert->resolved_at_ns > alert->sent_at_ns) return true;
    /* A firing alert would end before it is sent again if the interval of its group or the delay of
     * resending was shorter when it was sent. */
    bool is_firing = alert->state == ALERT_FIRING;
    if (is_firing && alert->valid_until_ns < at_ns + interval_ns + resend_ns) return true;
    return alert->sent_at_ns == 0 || alert->sent_at_ns + resend_ns < at_ns;
}

/* --- making ----------------------------------------------------------------------------------- */

static struct bytes
copy_to(uint8_t **at, struct bytes from)
{
    struct bytes copy = {*at, from.size};
    if (from.size > 0) memcpy(*at, from.at, from.size);
    *at += from.size;
    return copy;
}

static struct alert_annotations *
annotations_new(struct alerts *a, const struct alert_found *found)
{
    size_t bytes =
        sizeof(struct alert_annotations) + found->annotation_count * sizeof(struct label);
    size_t texts = bytes;
    for (uint32_t i = 0; i < found->annotation_count; i++)
        bytes += found->annotations[i].name.size + found->annotations[i].value.size;
    struct alert_annotations *made = mem_alloc(a->budget, bytes);
    if (made == NULL) return NULL;
    made->bytes = bytes;
    made->count = found->annotation_count;
    uint8_t *at = (uint8_t *)made + texts;
    for (uint32_t i = 0; i < made->count; i++) {
        made->items[i].name = copy_to(&at, found->annotations[i].name);
        made->items[i].value = copy_to(&at, found->annotations[i].value);
    }
    return made;
}

/* Makes an alert with its annotations. NULL without memory. */
static struct alert *
alert_new(struct alerts *a, const struct alert_found *found)
{
    size_t bytes = sizeof(struct alert) + found->labels.size;
    struct alert *alert = mem_alloc(a->budget, bytes);
    if (alert == NULL) return NULL;
    uint8_t *at = (uint8_t *)(alert + 1);
    *alert = (struct alert){.bytes = bytes, .value_bits = found->value_bits};
    alert->labels = copy_to(&at, found->labels);
    alert->hash = hash_bytes(alert->labels, a->seed);
    alert->annotations = annotations_new(a, found);
    if (alert->annotations != NULL) return alert;
    alert_free(a, alert);
    return NULL;
}

static bool
alerts_reserve(struct alerts *a, uint32_t more)
{
    return array_reserve(a->budget, &a->items, &a->capacity, (size_t)a->count + more) &&
           table_reserve(&a->table, a->budget, more);
}

/* Adds an alert; there is room. */
static void
alerts_add(struct alerts *a, struct alert *alert)
{
    assert(a->count < a->capacity);
    assert(alert->annotations != NULL);            /* invariant 4 */
    assert(alerts_find(a, alert->labels) == NULL); /* invariant 1 */
    table_add(&a->table, alert->hash, a->count);
    a->items[a->count++] = alert;
}

/* Forgets the alerts that are marked by NULL labels. */
static void
forget_marked(struct alerts *a)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < a->count; i++)
        if (a->items[i]->labels.at != NULL)
            a->items[kept++] = a->items[i];
        else
            alert_free(a, a->items[i]);
    if (kept == a->count) return;
    a->count = kept;
    table_clear(&a->table);
    for (uint32_t i = 0; i < kept; i++)
        table_add(&a->table, a->items[i]->hash, i);
}

void
alerts_forget_over(struct alerts *a, int64_t at_ns)
{
    for (uint32_t i = 0; i < a->count; i++) {
        struct alert *alert = a->items[i];
        if (alert_is_active(alert) || at_ns - alert->resolved_at_ns <= ALERT_RESOLVED_KEPT_NS)
            continue;
        alert->labels.at = NULL;
    }
    forget_marked(a);
}

enum err
alerts_restore(struct alerts *a, const struct alert *was, const struct alert_found *found)
{
    bool is_over = was->state == ALERT_INACTIVE && was->resolved_at_ns == 0; /* nothing to send */
    if (is_over || alerts_find(a, found->labels) != NULL) return OK;
    struct alert *alert = alerts_reserve(a, 1) ? alert_new(a, found) : NULL;
    if (alert == NULL) return ERR_NOMEM;
    struct alert made = *alert;
    *alert = *was;
    alert->labels = made.labels;
    alert->hash = made.hash;
    alert->annotations = made.annotations;
    alert->value_bits = made.value_bits;
    alert->bytes = made.bytes;
    alert->found_in = 0;                                           /* invariant 3 */
    if (alert->state != ALERT_INACTIVE) alert->resolved_at_ns = 0; /* a checkpoint has any times */
    if (alert->state == ALERT_PENDING) alert->fired_at_ns = alert->sent_at_ns = 0;
    assert(alert_is_consistent(alert)); /* invariant 2 */
    alerts_add(a, alert);
    return OK;
}

/* --- evaluating ------------------------------------------------------------------------------- */

/* Takes the outage out of the time that counts towards `for`, as Prometheus does. */
static void
skip_outage(struct alert *alert, const struct alert_terms *terms, int64_t at_ns)
{
    assert(terms->outage_ns >= 0);
    if (terms->outage_ns == 0 || alert->state != ALERT_PENDING) return;
    int64_t left_ns = terms->for_ns - (at_ns - terms->outage_ns - alert->active_at_ns);
    if (left_ns <= 0) return; /* it would have fired */
    if (left_ns < terms->grace_ns && terms->grace_ns < terms->for_ns) left_ns = terms->grace_ns;
    alert->active_at_ns = at_ns + left_ns - terms->for_ns;
}

/* Moves the alert to its next state. Returns true if it is active. */
static bool
alerts_step(struct alert *alert, bool is_found, const struct alert_terms *terms, int64_t at_ns)
{
    bool may_keep =
        !is_found && alert->state == ALERT_FIRING && terms->keep_firing_ns > 0 && !terms->holds;
    if (may_keep && alert->keep_firing_since_ns == 0) alert->keep_firing_since_ns = at_ns;
    bool keeps = may_keep && at_ns - alert->keep_firing_since_ns < terms->keep_firing_ns;
    if (is_found) {
        alert->keep_firing_since_ns = 0;
    } else if (terms->holds && alert_is_active(alert)) {
        return true;
    } else if (!keeps) {
        if (alert->state == ALERT_PENDING) alert->labels.at = NULL;
        if (alert->state != ALERT_INACTIVE) {
            alert->state = ALERT_INACTIVE;
            alert->resolved_at_ns = at_ns;
        }
        return false;
    }
    bool is_over = at_ns - alert->active_at_ns >= terms->for_ns;
    if (alert->state == ALERT_PENDING && is_over && !terms->holds) {
        alert->state = ALERT_FIRING;
        alert->fired_at_ns = at_ns;
    }
    return true;
}

/* Prepares everything that can fail: new alerts for results without one, new annotations for the
 * others. */
struct prepared_alert {
    struct alert *alert;                   /* existing alert; NULL: is_new */
    struct alert *made;                    /* new alert */
    struct alert_annotations *annotations; /* annotations found now */
};

static void
alerts_take(struct alerts *a, const struct alert_found *found, struct prepared_alert *p,
            int64_t at_ns)
{
    struct alert *alert = p->alert != NULL ? p->alert : p->made;
    if (p->made != NULL) alerts_add(a, p->made);
    if (p->alert != NULL) {
        annotations_free(a, alert->annotations);
        alert->annotations = p->annotations;
        alert->value_bits = found->value_bits;
    }
    if (alert->state == ALERT_INACTIVE) { /* a resolved alert begins again */
        alert->state = ALERT_PENDING;
        alert->active_at_ns = at_ns;
        alert->fired_at_ns = alert->resolved_at_ns = alert->keep_firing_since_ns = 0;
        alert->sent_at_ns = alert->valid_until_ns = 0;
    }
    assert(alert->found_in < a->evaluations); /* invariant 3: no two results have equal labels */
    alert->found_in = a->evaluations;
}

enum err
alerts_evaluate(struct alerts *a, const struct alert_terms *terms, int64_t at_ns,
                const struct alert_found *found, uint32_t count, uint32_t *ret_active,
                bool *ret_changed)
{
    uint32_t more = 0, active = 0;
    size_t bytes = count * sizeof(struct prepared_alert);
    struct prepared_alert *p = mem_new(a->budget, bytes == 0 ? 1 : bytes);
    enum err e = p == NULL ? ERR_NOMEM : OK;
    for (uint32_t i = 0; e == OK && i < count; i++) {
        p[i].alert = alerts_find(a, found[i].labels);
        more += p[i].alert == NULL;
        if (p[i].alert == NULL)
            p[i].made = alert_new(a, &found[i]);
        else
            p[i].annotations = annotations_new(a, &found[i]);
        if (p[i].made == NULL && p[i].annotations == NULL) e = ERR_NOMEM;
    }
    if (e == OK && !alerts_reserve(a, more)) e = ERR_NOMEM;
    if (e) {
        for (uint32_t i = 0; p != NULL && i < count; i++) {
            alert_free(a, p[i].made);
            annotations_free(a, p[i].annotations);
        }
        mem_free(a->budget, p, bytes == 0 ? 1 : bytes);
        return e;
    }
    a->evaluations++;
    for (uint32_t i = 0; i < count; i++)
        *ret_changed |= p[i].alert == NULL || !alert_is_active(p[i].alert);
    for (uint32_t i = 0; i < a->count; i++)
        skip_outage(a->items[i], terms, at_ns);
    for (uint32_t i = 0; i < count; i++)
        alerts_take(a, &found[i], &p[i], at_ns);
    mem_free(a->budget, p, bytes == 0 ? 1 : bytes);
    for (uint32_t i = 0; i < a->count; i++) {
        struct alert *alert = a->items[i];
        enum alert_state state = alert->state;
        /* After the clock was set back: times after `at_ns` become `at_ns`, and the alert is sent
         * again, so that nothing waits until the clock is there again. */
        int64_t *times[] = {&alert->active_at_ns, &alert->fired_at_ns, &alert->resolved_at_ns,
                            &alert->keep_firing_since_ns};
        for (size_t k = 0; k < sizeof times / sizeof *times; k++)
            if (*times[k] > at_ns) *times[k] = at_ns;
        if (alert->sent_at_ns > at_ns) alert->sent_at_ns = 0;
        active += alerts_step(alert, alert->found_in == a->evaluations, terms, at_ns);
        *ret_changed |= alert->state != state || alert->labels.at == NULL;
        assert(alert->labels.at == NULL || alert_is_consistent(alert)); /* invariant 2 */
    }
    forget_marked(a);
    *ret_active = active;
    if (terms->limit == 0 || active <= terms->limit) return OK;
    for (uint32_t i = 0; i < a->count; i++)
        a->items[i]->labels.at = NULL;
    forget_marked(a);
    return ERR_LIMIT;
}
