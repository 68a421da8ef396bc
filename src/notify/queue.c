/*
 * queue.c - uses slots in an array, in doubly linked lists by number, so that only queue_put()
 * allocates memory, in growing pieces: an alert that waits for many members costs each of them
 * about 32 bytes.
 *
 * Invariants:
 *  1. No two waiting slots have the same labels.
 *  2. The table has exactly the waiting slots.
 *  3. The table has room for the taken slots, too.
 *  4. Each slot below `used` is in one list: waiting, taken or free. A free slot has no alert.
 *  5. `count` is the length of a list, and its ends are NULL_SLOT exactly if it is 0.
 *  6. No waiting alert expires before `expiry_ms`.
 */
#include "notify/notify_private.h"

#include <assert.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "base/text/hex.h"
#include "base/text/time_text.h"

/* Alertmanager's API v2, postableAlert. */

static void
put_generator(struct json *json, const char *external_url, struct bytes expression)
{
    struct buf url;
    buf_init(&url, json->to->budget, ENCODED_ALERT_BYTES_MAX);
    buf_put_text(&url, external_url);
    buf_put_text(&url, "/graph?g0.expr=");
    /* Escapes like Go's url.QueryEscape: percent-encoding, but a blank becomes a plus. */
    for (size_t at = 0; at < expression.size;) {
        const uint8_t *begin = expression.at + at;
        const uint8_t *blank = memchr(begin, ' ', expression.size - at);
        size_t size = blank == NULL ? expression.size - at : (size_t)(blank - begin);
        buf_put_percent(&url, bytes_of(begin, size), "");
        if (blank != NULL) buf_put_u8(&url, '+');
        at += size + (blank != NULL);
    }
    buf_put_text(&url, "&g0.tab=1");
    if (buf_error(&url) == OK)
        json_member_bytes(json, "generatorURL", buf_bytes(&url));
    else
        json->to->failed = buf_error(&url);
    buf_fini(&url);
}

enum err
encoded_alert_new(const struct alert_encoding *encoding, struct bytes labels,
                  const struct alert_notice *notice, struct buf *scratch,
                  struct encoded_alert **ret_alert)
{
    int64_t ends_ms = notice->ends_ns / NS_PER_MS;
    buf_clear(scratch);
    char text[TIME_TEXT_BYTES];
    struct json json;
    json_init(&json, scratch);
    json_object_open(&json);
    json_key(&json, "labels");
    labels_put_json(&json, labels);
    if (notice->annotation_count > 0) {
        json_member_object(&json, "annotations");
        for (uint32_t i = 0; i < notice->annotation_count; i++) {
            json_key_bytes(&json, notice->annotations[i].name);
            json_put_bytes(&json, notice->annotations[i].value);
        }
        json_object_close(&json);
    }
    json_member_text(&json, "startsAt", time_print(notice->starts_ns / NS_PER_MS, text));
    json_member_text(&json, "endsAt", time_print(notice->ends_ns / NS_PER_MS, text));
    if (encoding->external_url[0] != '\0' && encoding->external_url[0] != '/')
        put_generator(&json, encoding->external_url, notice->expression);
    json_object_close(&json);
    if (buf_error(scratch)) return buf_error(scratch);
    if (scratch->size > ENCODED_ALERT_BYTES_MAX || labels.size > ENCODED_ALERT_BYTES_MAX)
        return ERR_LIMIT;
    struct encoded_alert *alert =
        mem_alloc(encoding->memory, sizeof *alert + labels.size + scratch->size);
    if (alert == NULL) return ERR_NOMEM;
    *alert = (struct encoded_alert){
        .memory = encoding->memory,
        .refs = 1,
        .labels_bytes = (uint32_t)labels.size,
        .json_bytes = (uint32_t)scratch->size,
        .expires_ms =
            ENCODED_ALERT_KEPT_MS + (ends_ms > encoding->now_ms ? ends_ms : encoding->now_ms),
        .hash = hash_bytes(labels, encoding->seed),
    };
    if (labels.size > 0) memcpy(alert->bytes, labels.at, labels.size);
    memcpy(alert->bytes + labels.size, scratch->at, scratch->size);
    *ret_alert = alert;
    return OK;
}

void
encoded_alert_unref(struct encoded_alert *alert)
{
    if (alert == NULL) return;
    uint32_t before = atomic_fetch_sub_explicit(&alert->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) return;
    mem_free(alert->memory, alert, sizeof *alert + alert->labels_bytes + alert->json_bytes);
}

enum { NULL_SLOT = UINT32_MAX };

struct queue_slot {
    struct encoded_alert *alert;
    uint32_t before, after;
};

void
queue_init(struct queue *q, struct budget *memory)
{
    *q = (struct queue){
        .memory = memory,
        .free = NULL_SLOT,
        .waiting = {NULL_SLOT, NULL_SLOT, 0},
        .taken = {NULL_SLOT, NULL_SLOT, 0},
        .expiry_ms = INT64_MAX,
    };
}

void
queue_fini(struct queue *q)
{
    (void)queue_clear(q);
    table_fini(&q->table, q->memory);
    array_free(q->memory, q->slots, q->capacity);
    queue_init(q, q->memory);
}

/* --- lists ------------------------------------------------------------------------------------ */

static void
link_before(struct queue *q, struct queue_list *list, uint32_t slot, uint32_t after)
{
    struct queue_slot *p = &q->slots[slot];
    assert(slot < q->used);                                   /* invariant 4 */
    assert((list->first == NULL_SLOT) == (list->count == 0)); /* invariant 5 */
    p->after = after;
    p->before = after == NULL_SLOT ? list->last : q->slots[after].before;
    *(p->before == NULL_SLOT ? &list->first : &q->slots[p->before].after) = slot;
    *(after == NULL_SLOT ? &list->last : &q->slots[after].before) = slot;
    list->count++;
}

static void
unlink_slot(struct queue *q, struct queue_list *list, uint32_t slot)
{
    const struct queue_slot *p = &q->slots[slot];
    assert(p->alert != NULL); /* invariant 4 */
    assert(list->count > 0);  /* invariant 5 */
    *(p->before == NULL_SLOT ? &list->first : &q->slots[p->before].after) = p->after;
    *(p->after == NULL_SLOT ? &list->last : &q->slots[p->after].before) = p->before;
    list->count--;
    assert((list->first == NULL_SLOT) == (list->count == 0)); /* invariant 5 */
}

/* Frees a slot that has left its list. */
static void
free_slot(struct queue *q, uint32_t slot)
{
    assert(q->slots[slot].alert != NULL); /* invariant 4 */
    encoded_alert_unref(q->slots[slot].alert);
    q->slots[slot].alert = NULL;
    q->slots[slot].after = q->free;
    q->free = slot;
}

static uint32_t
find_waiting(const struct queue *q, const struct encoded_alert *alert)
{
    for (uint32_t at = TABLE_START, id; table_next(&q->table, alert->hash, &at, &id);) {
        const struct encoded_alert *other = q->slots[id].alert;
        if (bytes_equal(encoded_alert_labels(alert), encoded_alert_labels(other))) return id;
    }
    return NULL_SLOT;
}

static uint32_t
validate_list(const struct queue *q, const struct queue_list *list)
{
    uint32_t count = 0, before = NULL_SLOT;
    for (uint32_t at = list->first; at != NULL_SLOT; at = q->slots[at].after, count++) {
        assert(at < q->used);
        assert(count < q->used);
        assert(q->slots[at].before == before);
        assert(q->slots[at].alert != NULL);
        before = at;
    }
    assert(list->last == before);
    assert(list->count == count);
    return count;
}

void
queue_validate(const struct queue *q)
{
    uint32_t count = validate_list(q, &q->waiting) + validate_list(q, &q->taken);
    for (uint32_t at = q->free; at != NULL_SLOT; at = q->slots[at].after, count++) {
        assert(count < q->used);
        assert(q->slots[at].alert == NULL);
    }
    assert(count == q->used); /* invariant 4 */
    for (uint32_t at = q->waiting.first; at != NULL_SLOT; at = q->slots[at].after) {
        assert(find_waiting(q, q->slots[at].alert) == at);      /* invariants 1 and 2 */
        assert(q->slots[at].alert->expires_ms >= q->expiry_ms); /* invariant 6 */
    }
}

/* Runs the O(n) check in debug builds. */
static void
queue_check(const struct queue *q)
{
#ifdef LOCK_CHECK
    queue_validate(q);
#else
    (void)q;
#endif
}

static void
drop_waiting(struct queue *q, uint32_t slot)
{
    table_remove(&q->table, q->slots[slot].alert->hash, slot);
    unlink_slot(q, &q->waiting, slot);
    free_slot(q, slot);
}

/* --- queueing --------------------------------------------------------------------------------- */

enum err
queue_put(struct queue *q, struct encoded_alert *alert)
{
    uint32_t slot = find_waiting(q, alert);
    if (slot == NULL_SLOT) {
        bool needs_more = q->free == NULL_SLOT;
        bool has_room =
            table_reserve(&q->table, q->memory, 1 + q->taken.count) &&
            (!needs_more || array_reserve(q->memory, &q->slots, &q->capacity, q->used + 1));
        if (!has_room) return ERR_NOMEM;
        slot = q->free;
        if (slot == NULL_SLOT) {
            assert(q->used < q->capacity);
            slot = q->used++;
        } else {
            assert(q->slots[slot].alert == NULL); /* invariant 4 */
            q->free = q->slots[slot].after;
        }
        link_before(q, &q->waiting, slot, NULL_SLOT);
        table_add(&q->table, alert->hash, slot);
    } else {
        encoded_alert_unref(q->slots[slot].alert);
    }
    uint32_t before = atomic_fetch_add_explicit(&alert->refs, 1, memory_order_relaxed);
    assert(before > 0);
    q->slots[slot].alert = alert;
    if (alert->expires_ms < q->expiry_ms) q->expiry_ms = alert->expires_ms;
    return OK;
}

/* --- dropping --------------------------------------------------------------------------------- */

uint32_t
queue_limit(struct queue *q, uint32_t count_max)
{
    uint32_t dropped = 0;
    for (; q->waiting.count > count_max; dropped++)
        drop_waiting(q, q->waiting.first);
    return dropped;
}

uint32_t
queue_expire(struct queue *q, int64_t now_ms)
{
    uint32_t dropped = 0;
    if (q->expiry_ms > now_ms) return 0;
    q->expiry_ms = INT64_MAX;
    for (uint32_t slot = q->waiting.first, next; slot != NULL_SLOT; slot = next) {
        int64_t expires_ms = q->slots[slot].alert->expires_ms;
        next = q->slots[slot].after;
        if (expires_ms <= now_ms) {
            drop_waiting(q, slot);
            dropped++;
        } else if (expires_ms < q->expiry_ms) {
            q->expiry_ms = expires_ms;
        }
    }
    return dropped;
}

uint32_t
queue_clear(struct queue *q)
{
    uint32_t dropped = q->taken.count;
    queue_drop_taken(q);
    return dropped + queue_limit(q, 0);
}

/* --- taking ----------------------------------------------------------------------------------- */

enum err
queue_take(struct queue *q, uint32_t count_max, size_t bytes_max, struct buf *body)
{
    uint32_t count = 0;
    size_t size = 1; /* "[", and after each a comma or "]" */
    assert(count_max > 0);
    assert(q->taken.count == 0);
    assert(q->waiting.count > 0);
    for (uint32_t at = q->waiting.first; at != NULL_SLOT && count < count_max;
         at = q->slots[at].after, count++) {
        size_t more = encoded_alert_json(q->slots[at].alert).size + 1;
        if (count > 0 && size + more > bytes_max) break;
        size += more;
    }
    if (!buf_reserve(body, size)) return buf_error(body);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = q->waiting.first;
        table_remove(&q->table, q->slots[slot].alert->hash, slot);
        unlink_slot(q, &q->waiting, slot);
        link_before(q, &q->taken, slot, NULL_SLOT);
        buf_put_u8(body, i == 0 ? '[' : ',');
        buf_put_bytes(body, encoded_alert_json(q->slots[slot].alert));
    }
    buf_put_u8(body, ']');
    assert(q->taken.count == count);
    queue_check(q);
    return OK;
}

const struct encoded_alert *
queue_taken(const struct queue *q)
{
    return q->taken.count == 0 ? NULL : q->slots[q->taken.first].alert;
}

void
queue_drop_taken(struct queue *q)
{
    while (q->taken.count > 0) {
        uint32_t slot = q->taken.first;
        unlink_slot(q, &q->taken, slot);
        free_slot(q, slot);
    }
}

void
queue_put_back(struct queue *q)
{
    while (q->taken.count > 0) {
        uint32_t slot = q->taken.last;
        struct encoded_alert *alert = q->slots[slot].alert;
        unlink_slot(q, &q->taken, slot);
        if (find_waiting(q, alert) != NULL_SLOT) {
            free_slot(q, slot);
            continue;
        }
        link_before(q, &q->waiting, slot, q->waiting.first);
        assert(q->table.count < q->table.capacity); /* invariant 3 */
        table_add(&q->table, alert->hash, slot);
        if (alert->expires_ms < q->expiry_ms) q->expiry_ms = alert->expires_ms;
    }
    queue_check(q);
}
