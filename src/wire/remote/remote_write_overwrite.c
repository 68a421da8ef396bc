/*
 * remote_write_overwrite.c - labels that the sender has not chosen.
 *
 * The labels of a series and those to add are merged by name. The result is new label bytes in the
 * arena (1.0), or new references (2.0) to symbols, of which the request gets two for each label to
 * add. A series that has these labels already keeps its own.
 */
#include "wire/remote/remote_write.h"

#include <assert.h>

#include "wire/remote/remote_write_memory.h"
#include "wire/shape.h"

struct overwrite {
    struct rw_request *request;
    struct bytes bytes;
    uint32_t count;
    struct {
        struct label label;
        struct bytes field; /* 1.0 */
        uint32_t refs[2];   /* 2.0 */
    } items[RW_OVERWRITE_MAX];
};

/* Labels of a series as they are written: 1.0 in `bytes`, 2.0 in `refs`. */
struct written {
    uint8_t *bytes;
    size_t size;
    uint32_t *refs;
    uint32_t count;
};

static enum err
overwrite_begin(struct overwrite *o, struct rw_request *request, struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    o->request = request;
    o->bytes = labels;
    for (o->count = 0; c.at != c.end; o->count++) {
        const uint8_t *from = c.at;
        assert(o->count < RW_OVERWRITE_MAX);
        bool more = labels_next(&c, &o->items[o->count].label);
        assert(more); /* they are canonical */
        o->items[o->count].field = bytes_of(from, (size_t)(c.at - from));
        if (request->version == RW_V1) continue;
        struct bytes texts[] = {o->items[o->count].label.name, o->items[o->count].label.value};
        for (uint32_t i = 0; i < 2; i++) {
            o->items[o->count].refs[i] = request->memory->arrays[RW_SYMBOLS].count;
            enum err e = rw_append_symbol(request->memory, request->keys, texts[i]);
            if (e) return e;
        }
    }
    return OK;
}

/* Returns the number of the label of this name; `count` if it is not overwritten. */
static uint32_t
find_name(const struct overwrite *o, struct bytes name)
{
    uint32_t i = 0;
    while (i < o->count && !bytes_equal(o->items[i].label.name, name))
        i++;
    return i;
}

/* Returns true if the series has all of the labels already, each once. */
static bool
has_all(const struct overwrite *o, const struct rw_series *series)
{
    struct rw_label_walk walk = rw_labels(o->request, series);
    uint32_t found = 0;
    for (struct label label; rw_label_next(&walk, &label);) {
        uint32_t i = find_name(o, label.name);
        if (i == o->count) continue;
        if (!bytes_equal(o->items[i].label.value, label.value)) return false;
        found++;
    }
    return found == o->count;
}

/* Puts the label that `before` was about to read and `after` has read. */
static void
put_sent(const struct rw_label_walk *before, const struct rw_label_walk *after, struct written *to)
{
    if (before->request->version == RW_V1) {
        size_t size = (size_t)(after->bytes.at - before->bytes.at);
        memcpy(to->bytes + to->size, before->bytes.at, size);
        to->size += size;
    } else {
        to->refs[to->count++] = before->request->refs[before->at];
        to->refs[to->count++] = before->request->refs[before->at + 1];
    }
}

static void
merge_labels(const struct overwrite *o, const struct rw_series *series, struct written *to)
{
    struct rw_label_walk walk = rw_labels(o->request, series);
    uint32_t next = 0;
    for (;;) {
        struct rw_label_walk before = walk;
        struct label label;
        bool more = rw_label_next(&walk, &label);
        while (next < o->count &&
               (!more || bytes_compare(o->items[next].label.name, label.name) <= 0)) {
            struct bytes field = o->items[next].field;
            if (o->request->version == RW_V1) {
                memcpy(to->bytes + to->size, field.at, field.size);
                to->size += field.size;
            } else {
                to->refs[to->count++] = o->items[next].refs[0];
                to->refs[to->count++] = o->items[next].refs[1];
            }
            next++;
        }
        if (!more) break;
        if (find_name(o, label.name) == o->count) put_sent(&before, &walk, to);
    }
}

static enum err
overwrite_v1(const struct overwrite *o, struct rw_series *series)
{
    const struct rw_request *r = o->request;
    struct written to = {.bytes =
                             rw_arena_alloc(r->memory, series->label_bytes.size + o->bytes.size)};
    if (to.bytes == NULL) return r->memory->refused;
    merge_labels(o, series, &to);
    series->label_bytes = bytes_of(to.bytes, to.size);
    if (r->keys != NULL) series->print = fingerprint_of(&r->keys->texts, series->label_bytes);
    return OK;
}

static enum err
overwrite_v2(const struct overwrite *o, struct rw_series *series)
{
    struct rw_request *r = o->request;
    struct rw_array *refs = &r->memory->arrays[RW_REFS];
    if (!rw_reserve(r->memory, refs, series->refs.count + 2 * o->count)) return r->memory->refused;
    r->refs = refs->at; /* it may have moved */
    struct written to = {.refs = r->refs + refs->count};
    merge_labels(o, series, &to);
    series->refs = (struct rw_range){refs->count, to.count};
    refs->count += to.count;
    series->print = rw_print_refs(r->memory, r->keys, to.refs, to.count);
    return OK;
}

enum err
rw_overwrite_labels(struct rw_request *request, struct bytes labels, uint32_t *ret_changed,
                    struct why *why)
{
    struct overwrite o;
    uint32_t changed = 0;
    enum err e = overwrite_begin(&o, request, labels);
    rw_publish(request);
    for (uint32_t i = 0; i < request->series_count && e == OK; i++) {
        struct rw_series *series = &request->series[i];
        assert(!series->unchecked);
        if (series->bad_reference || has_all(&o, series)) continue;
        e = request->version == RW_V1 ? overwrite_v1(&o, series) : overwrite_v2(&o, series);
        changed++;
    }
    if (e) {
        rw_request_clear(request);
        return why_set(why, e, "remote write: %s for the labels of write_labels",
                       e == ERR_LIMIT ? "too many small series" : "not enough memory");
    }
    *ret_changed = changed;
    return OK;
}
