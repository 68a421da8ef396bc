/*
 * queue.c - uses places in an array, in doubly linked lists by number, so that only queue_put()
 * allocates memory, in growing pieces: an alert that waits for many members costs each of them
 * about 32 bytes.
 *
 * Invariants:
 *  1. No two waiting places have the same labels.
 *  2. The table has exactly the waiting places.
 *  3. The table has room for the taken places, too.
 *  4. Each place below `used` is in one list: waiting, taken or free. A free place has no alert.
 *  5. `count` is the length of a list, and its ends are NULL_PLACE exactly if it is 0.
 *  6. No waiting alert expires before `expiry_ms`.
 */
#include "notify/queue.h"

#include <assert.h>

#include "base/array.h"

enum { NULL_PLACE = UINT32_MAX };

struct queue_place {
    struct encoded_alert *alert;
    uint32_t before, after;
};

void
queue_init(struct queue *q, struct budget *memory)
{
    *q = (struct queue){
        .memory = memory,
        .free = NULL_PLACE,
        .waiting = {NULL_PLACE, NULL_PLACE, 0},
        .taken = {NULL_PLACE, NULL_PLACE, 0},
        .expiry_ms = INT64_MAX,
    };
}

void
queue_fini(struct queue *q)
{
    (void)queue_clear(q);
    table_fini(&q->table, q->memory);
    array_free(q->memory, q->places, q->capacity);
    queue_init(q, q->memory);
}

/* --- lists ------------------------------------------------------------------------------------ */

static void
link_before(struct queue *q, struct queue_list *list, uint32_t place, uint32_t after)
{
    struct queue_place *p = &q->places[place];
    assert(place < q->used);                                   /* invariant 4 */
    assert((list->first == NULL_PLACE) == (list->count == 0)); /* invariant 5 */
    p->after = after;
    p->before = after == NULL_PLACE ? list->last : q->places[after].before;
    *(p->before == NULL_PLACE ? &list->first : &q->places[p->before].after) = place;
    *(after == NULL_PLACE ? &list->last : &q->places[after].before) = place;
    list->count++;
}

static void
unlink_place(struct queue *q, struct queue_list *list, uint32_t place)
{
    const struct queue_place *p = &q->places[place];
    assert(p->alert != NULL); /* invariant 4 */
    assert(list->count > 0);  /* invariant 5 */
    *(p->before == NULL_PLACE ? &list->first : &q->places[p->before].after) = p->after;
    *(p->after == NULL_PLACE ? &list->last : &q->places[p->after].before) = p->before;
    list->count--;
    assert((list->first == NULL_PLACE) == (list->count == 0)); /* invariant 5 */
}

/* Frees a place that has left its list. */
static void
give_place(struct queue *q, uint32_t place)
{
    assert(q->places[place].alert != NULL); /* invariant 4 */
    encoded_alert_unref(q->places[place].alert);
    q->places[place].alert = NULL;
    q->places[place].after = q->free;
    q->free = place;
}

static uint32_t
take_place(struct queue *q)
{
    uint32_t place = q->free;
    if (place == NULL_PLACE) {
        assert(q->used < q->capacity);
        return q->used++;
    }
    assert(q->places[place].alert == NULL); /* invariant 4 */
    q->free = q->places[place].after;
    return place;
}

static uint32_t
find_waiting(const struct queue *q, const struct encoded_alert *alert)
{
    for (uint32_t at = TABLE_START, id; table_next(&q->table, alert->hash, &at, &id);) {
        const struct encoded_alert *other = q->places[id].alert;
        if (bytes_equal(encoded_alert_labels(alert), encoded_alert_labels(other))) return id;
    }
    return NULL_PLACE;
}

static uint32_t
validate_list(const struct queue *q, const struct queue_list *list)
{
    uint32_t count = 0, before = NULL_PLACE;
    for (uint32_t at = list->first; at != NULL_PLACE; at = q->places[at].after, count++) {
        assert(at < q->used);
        assert(count < q->used);
        assert(q->places[at].before == before);
        assert(q->places[at].alert != NULL);
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
    for (uint32_t at = q->free; at != NULL_PLACE; at = q->places[at].after, count++) {
        assert(count < q->used);
        assert(q->places[at].alert == NULL);
    }
    assert(count == q->used); /* invariant 4 */
    for (uint32_t at = q->waiting.first; at != NULL_PLACE; at = q->places[at].after) {
        assert(find_waiting(q, q->places[at].alert) == at);      /* invariants 1 and 2 */
        assert(q->places[at].alert->expires_ms >= q->expiry_ms); /* invariant 6 */
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
drop_waiting(struct queue *q, uint32_t place)
{
    table_remove(&q->table, q->places[place].alert->hash, place);
    unlink_place(q, &q->waiting, place);
    give_place(q, place);
}

/* --- queueing --------------------------------------------------------------------------------- */

enum err
queue_put(struct queue *q, struct encoded_alert *alert)
{
    uint32_t place = find_waiting(q, alert);
    if (place == NULL_PLACE) {
        bool needs_more = q->free == NULL_PLACE;
        bool has_room =
            table_reserve(&q->table, q->memory, 1 + q->taken.count) &&
            (!needs_more || array_reserve(q->memory, &q->places, &q->capacity, q->used + 1));
        if (!has_room) return ERR_NOMEM;
        place = take_place(q);
        link_before(q, &q->waiting, place, NULL_PLACE);
        table_add(&q->table, alert->hash, place);
    } else {
        encoded_alert_unref(q->places[place].alert);
    }
    q->places[place].alert = encoded_alert_ref(alert);
    if (alert->expires_ms < q->expiry_ms) q->expiry_ms = alert->expires_ms;
    return OK;
}

/* --- dropping --------------------------------------------------------------------------------- */

uint32_t
queue_limit(struct queue *q, uint32_t count_max)
{
    uint32_t dropped = 0;
    for (; q->waiting.count > count_max; dropped++) {
        drop_waiting(q, q->waiting.first);
    }
    return dropped;
}

uint32_t
queue_expire(struct queue *q, int64_t now_ms)
{
    uint32_t dropped = 0;
    if (q->expiry_ms > now_ms) return 0;
    q->expiry_ms = INT64_MAX;
    for (uint32_t place = q->waiting.first, next; place != NULL_PLACE; place = next) {
        int64_t expires_ms = q->places[place].alert->expires_ms;
        next = q->places[place].after;
        if (expires_ms <= now_ms) {
            drop_waiting(q, place);
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
    for (uint32_t at = q->waiting.first; at != NULL_PLACE && count < count_max;
         at = q->places[at].after, count++) {
        size_t more = encoded_alert_json(q->places[at].alert).size + 1;
        if (count > 0 && size + more > bytes_max) break;
        size += more;
    }
    if (!buf_reserve(body, size)) return buf_error(body);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t place = q->waiting.first;
        table_remove(&q->table, q->places[place].alert->hash, place);
        unlink_place(q, &q->waiting, place);
        link_before(q, &q->taken, place, NULL_PLACE);
        buf_put_u8(body, i == 0 ? '[' : ',');
        buf_put_bytes(body, encoded_alert_json(q->places[place].alert));
    }
    buf_put_u8(body, ']');
    assert(q->taken.count == count);
    queue_check(q);
    return OK;
}

const struct encoded_alert *
queue_taken(const struct queue *q)
{
    return q->taken.count == 0 ? NULL : q->places[q->taken.first].alert;
}

void
queue_drop_taken(struct queue *q)
{
    while (q->taken.count > 0) {
        uint32_t place = q->taken.first;
        unlink_place(q, &q->taken, place);
        give_place(q, place);
    }
}

void
queue_put_back(struct queue *q)
{
    while (q->taken.count > 0) {
        uint32_t place = q->taken.last;
        struct encoded_alert *alert = q->places[place].alert;
        unlink_place(q, &q->taken, place);
        if (find_waiting(q, alert) != NULL_PLACE) {
            give_place(q, place);
            continue;
        }
        link_before(q, &q->waiting, place, q->waiting.first);
        table_add(&q->table, alert->hash, place);
        if (alert->expires_ms < q->expiry_ms) q->expiry_ms = alert->expires_ms;
    }
    queue_check(q);
}
