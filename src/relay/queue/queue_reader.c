/*
 * queue_reader.c - see queue_reader.h.
 *
 * Invariants:
 * 1. `writes` has the writes that were taken and not ended, by rising number. Those before `giving`
 *    have given all items, or are dropped.
 * 2. `open` of a write is the number of its items that were given, passed and not settled;
 *    fates.count[kind][FATE_OPEN] is the sum by kind.
 * 3. taken[kind] is the sum of all terms of fates.count[kind].
 * 4. A part ends as settled only if all of its items were given, each wanted one was settled once,
 *    and none was withdrawn.
 */
#include "relay/queue/queue_reader.h"

#include <assert.h>
#include <stdio.h>

#include "base/array.h"

enum { SCRATCH_BYTES_MAX = 4 * 1024 * 1024 };

static bool
is_settled(const struct taken_write *t)
{
    uint32_t open = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++)
        open += t->open[kind];
    return t->next == t->write->items.count && open == 0;
}

/* Counts the open items of a write as withdrawn. */
static void
drop(struct queue_reader *r, struct taken_write *t, const char *error)
{
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t *fates = r->fates.count[kind];
        assert(fates[FATE_OPEN] >= t->open[kind]); /* invariant 2 */
        fates[FATE_OPEN] -= t->open[kind];
        fates[FATE_DROPPED + DROP_WITHDRAWN] += t->open[kind];
        t->open[kind] = 0;
    }
    t->is_dropped = true;
    t->part.left = true;
    snprintf(t->part.text, sizeof t->part.text, "%s", error);
}

void
queue_reader_init(struct queue_reader *r, const struct relay_context *context)
{
    *r = (struct queue_reader){.context = context};
    arena_init(&r->scratch, context->options.memory, SCRATCH_BYTES_MAX, 0);
}

enum err
queue_reader_begin(struct queue_reader *r, struct write_queue *queue, bool takes_metadata,
                   void (*wake)(void *context), void *context)
{
    assert(r->slot == NULL);
    r->takes_metadata = takes_metadata;
    return write_slot_join(queue, r->context->settings->name, wake, context, &r->slot);
}

void
queue_reader_end(struct queue_reader *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        struct taken_write *t = &r->writes[i];
        if (!is_settled(t)) drop(r, t, "");
        write_slot_end(r->slot, t->write, &t->part);
    }
    write_slot_leave(r->slot);
    array_free(r->context->options.memory, r->writes, r->capacity);
    arena_fini(&r->scratch);
    queue_reader_init(r, r->context);
}

/* --- giving items ----------------------------------------------------------------------------- */

static struct taken_write *
find(const struct queue_reader *r, uint64_t number)
{
    uint32_t at = search_first(i, 0u, r->count, r->writes[i].number >= number);
    return at < r->count && r->writes[at].number == number ? &r->writes[at] : NULL;
}

static enum err
take_one(struct queue_reader *r)
{
    if (!array_reserve(r->context->options.memory, &r->writes, &r->capacity, r->count + 1))
        return ERR_NOMEM;
    struct queued_write *write = write_slot_take(r->slot);
    if (write == NULL) return ERR_AGAIN;
    assert(write->items.count > 0);
    r->writes[r->count++] = (struct taken_write){.number = r->next_number++, .write = write};
    return OK;
}

void
queue_reader_take(struct queue_reader *r)
{
    while (take_one(r) == OK) {
    }
}

/* Gives item `i` as this destination gets it, and says whether it wants it. ERR_NOMEM. */
static enum err
select_item(struct queue_reader *r, const struct taken_write *t, uint32_t i, struct item *ret_item,
            bool *ret_wanted)
{
    const struct selection *selection = r->context->selection;
    write_items_item(&t->write->items, i, ret_item);
    ret_item->pos = t->number;
    if (ret_item->kind == ITEM_METADATA) {
        *ret_wanted = r->takes_metadata &&
                      selection_takes_family(selection, ret_item->tenant, ret_item->family);
        return OK;
    }
    *ret_wanted = selection_takes_tenant(selection, ret_item->tenant);
    if (!*ret_wanted) return OK;
    arena_reset(&r->scratch);
    enum err e = selection_apply(selection, ret_item->tenant, ret_item->labels, &r->scratch,
                                 &ret_item->labels);
    *ret_wanted = ret_item->labels.size > 0;
    return e == ERR_LIMIT ? ERR_NOMEM : e;
}

enum err
queue_reader_next(struct queue_reader *r, struct item *ret_item, uint64_t *ret_record,
                  uint32_t *ret_index)
{
    for (;;) {
        bool wanted;
        enum err e = OK;
        for (; r->giving < r->count; r->giving++) {
            const struct taken_write *t = &r->writes[r->giving];
            if (t->next < t->write->items.count && !t->is_dropped) break;
        }
        if (r->giving == r->count) e = take_one(r);
        if (e) return e;
        struct taken_write *t = &r->writes[r->giving];
        e = select_item(r, t, t->next, ret_item, &wanted);
        if (e) return e;
        *ret_record = t->number;
        *ret_index = t->next;
        if (wanted) return OK;
        t->next++;
    }
}

void
queue_reader_pass(struct queue_reader *r)
{
    struct taken_write *t = &r->writes[r->giving];
    unsigned kind = t->write->items.items[t->next].kind;
    assert(r->giving < r->count);
    assert(t->next < t->write->items.count);
    t->next++;
    t->open[kind]++;
    r->taken[kind]++;
    r->fates.count[kind][FATE_OPEN]++; /* invariants 2 and 3 */
}

enum err
queue_reader_load(struct queue_reader *r, uint64_t record, uint32_t index, struct item *ret_item)
{
    const struct taken_write *t = find(r, record);
    bool wanted;
    assert(t != NULL && !t->is_dropped);
    return select_item(r, t, index, ret_item, &wanted);
}

/* --- settling --------------------------------------------------------------------------------- */

static struct taken_write *
settle(struct queue_reader *r, uint64_t record, uint32_t index, uint32_t count, unsigned fate)
{
    struct taken_write *t = find(r, record);
    assert(t != NULL && !t->is_dropped);
    for (uint32_t i = index; i < index + count; i++) {
        unsigned kind = t->write->items.items[i].kind;
        uint64_t *fates = r->fates.count[kind];
        assert(t->open[kind] > 0);    /* invariant 2 */
        assert(fates[FATE_OPEN] > 0); /* invariant 2 */
        t->open[kind]--;
        fates[FATE_OPEN]--;
        fates[fate]++;
    }
    return t;
}

void
queue_reader_settle(struct queue_reader *r, uint64_t record, uint32_t index, uint32_t count,
                    unsigned fate)
{
    assert(fate == FATE_DELIVERED || fate == FATE_DROPPED + DROP_UNREPRESENTABLE);
    (void)settle(r, record, index, count, fate);
}

void
queue_reader_refuse(struct queue_reader *r, uint64_t record, uint32_t index, const char *reason,
                    const char *answer)
{
    struct taken_write *t = settle(r, record, index, 1, FATE_DROPPED + DROP_REFUSED);
    t->part.refused[t->write->items.items[index].kind]++;
    if (t->part.text[0] != '\0') return;
    snprintf(t->part.text, sizeof t->part.text, "%s%s%s", reason, answer[0] == '\0' ? "" : ": ",
             answer);
}

/* --- ending ----------------------------------------------------------------------------------- */

bool
queue_reader_drop_over(struct queue_reader *r, int64_t now_ns, int64_t now_ms, const char *error)
{
    bool any = false;
    for (uint32_t i = 0; i < r->count; i++) {
        struct taken_write *t = &r->writes[i];
        if (t->is_dropped || is_settled(t)) continue;
        if (!write_is_over(t->write, now_ns, now_ms)) continue;
        drop(r, t, error);
        any = true;
    }
    return any;
}

bool
queue_reader_is_dropped(const struct queue_reader *r, uint64_t record)
{
    const struct taken_write *t = find(r, record);
    assert(t != NULL);
    return t->is_dropped;
}

void
queue_reader_release(struct queue_reader *r)
{
    uint32_t kept = 0, giving = r->giving;
    for (uint32_t i = 0; i < r->count; i++) {
        struct taken_write *t = &r->writes[i];
        if (!is_settled(t) && !t->is_dropped) {
            if (kept < i) r->writes[kept] = *t;
            kept++;
            continue;
        }
        if (i < r->giving) giving--;
        write_slot_end(r->slot, t->write, &t->part); /* invariant 4 */
    }
    r->count = kept;
    r->giving = giving;
}

int64_t
queue_reader_oldest_ms(const struct queue_reader *r)
{
    return r->count == 0 ? 0 : r->writes[0].write->items.arrival_ms;
}
