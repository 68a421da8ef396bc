/* sim_objects.c - see sim_objects.h. */
#include "sys/sim_objects.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static struct sim_objects *
sim_of(struct objects *objects)
{
    return (struct sim_objects *)objects;
}

static size_t
place_of(const struct sim_objects *b, const char *key)
{
    size_t at = 0;
    while (at < b->count && strcmp(b->items[at].key, key) < 0)
        at++;
    return at;
}

struct sim_object *
sim_objects_find(struct sim_objects *b, const char *key)
{
    size_t at = place_of(b, key);
    return at < b->count && strcmp(b->items[at].key, key) == 0 ? &b->items[at] : NULL;
}

static void *
copy_of(const void *from, size_t size)
{
    void *to = malloc(size + 1);
    assert(to != NULL);
    memcpy(to, size > 0 ? from : "", size);
    return to;
}

/* Returns false if there is an object, and `only_new`. */
static bool
write_now(struct sim_objects *b, const char *key, const void *at, size_t size, bool only_new)
{
    struct sim_object *is = sim_objects_find(b, key);
    if (is != NULL && only_new && !b->no_conditions) return false;
    if (is == NULL) {
        size_t place = place_of(b, key);
        b->items = realloc(b->items, (b->count + 1) * sizeof *b->items);
        assert(b->items != NULL);
        memmove(&b->items[place + 1], &b->items[place], (b->count - place) * sizeof *b->items);
        b->count++;
        is = &b->items[place];
        *is = (struct sim_object){.listed = !b->lists_lag};
        snprintf(is->key, sizeof is->key, "%s", key);
    }
    free(is->at);
    is->at = copy_of(at, size);
    is->size = size;
    is->written_ms = b->now_ms;
    return true;
}

static void
remove_now(struct sim_objects *b, const char *key)
{
    struct sim_object *is = sim_objects_find(b, key);
    if (is == NULL) return;
    free(is->at);
    size_t place = (size_t)(is - b->items);
    memmove(is, is + 1, (b->count - place - 1) * sizeof *is);
    b->count--;
}

/* --- failures --------------------------------------------------------------------------------- */

static bool
fails(struct sim_objects *b, enum sim_failure when)
{
    if (b->is_away) return when == SIM_FAILS_BEFORE;
    return b->fails_at == b->requests && b->failure == when;
}

static enum err
broken(struct why *why)
{
    return why_set(why, ERR_AGAIN, "the connection broke");
}

static void
come_late(struct sim_objects *b, const char *key, const void *at, size_t size, bool only_new)
{
    b->late = realloc(b->late, (b->late_count + 1) * sizeof *b->late);
    assert(b->late != NULL);
    struct sim_late *l = &b->late[b->late_count++];
    *l = (struct sim_late){.only_new = only_new, .size = size, .due_ms = b->now_ms + b->late_ms};
    snprintf(l->key, sizeof l->key, "%s", key);
    if (at != NULL) l->at = copy_of(at, size);
}

void
sim_objects_pass(struct sim_objects *b, int64_t ms)
{
    b->now_ms = ms;
    size_t left = 0;
    for (size_t i = 0; i < b->late_count; i++) {
        struct sim_late l = b->late[i];
        if (l.due_ms > ms) {
            b->late[left++] = l;
            continue;
        }
        if (l.at != NULL)
            (void)write_now(b, l.key, l.at, l.size, l.only_new);
        else
            remove_now(b, l.key);
        free(l.at);
    }
    b->late_count = left;
}

/* --- requests --------------------------------------------------------------------------------- */

static enum err
sim_put(struct objects *objects, const char *key, struct bytes content, bool only_new,
        bool *ret_written, struct why *why)
{
    struct sim_objects *b = sim_of(objects);
    b->requests++;
    if (ret_written != NULL) *ret_written = false;
    bool is_refused = b->refused != NULL && strncmp(key, b->refused, strlen(b->refused)) == 0;
    if (is_refused || fails(b, SIM_FAILS_BEFORE)) return broken(why);
    if (fails(b, SIM_FAILS_LATE) || fails(b, SIM_COMES_AGAIN))
        come_late(b, key, content.at == NULL ? "" : (const void *)content.at, content.size,
                  only_new);
    if (fails(b, SIM_FAILS_LATE)) return broken(why);
    bool written = write_now(b, key, content.at, content.size, only_new);
    if (fails(b, SIM_FAILS_AFTER)) return broken(why);
    if (ret_written != NULL) *ret_written = written;
    return OK;
}

static enum err
digest_of(struct bytes content, struct object_digest *ret_digest)
{
    struct object_digester digester;
    enum err e = object_digester_begin(&digester);
    if (e == OK) e = object_digester_take(&digester, content);
    return object_digester_end(&digester, e, ret_digest);
}

static enum err
sim_put_file(struct objects *objects, const char *key, struct file *from, uint64_t size,
             struct object_digest *ret_digest, struct why *why)
{
    uint8_t *content = malloc(size + 1);
    assert(content != NULL);
    enum err e = file_read_at(from, content, size, 0, why);
    if (e == OK) e = digest_of(bytes_of(content, size), ret_digest);
    if (e == OK) e = sim_put(objects, key, bytes_of(content, size), false, NULL, why);
    free(content);
    return e;
}

static enum err
sim_look(struct objects *objects, const char *key, struct object_facts *ret, struct why *why)
{
    struct sim_objects *b = sim_of(objects);
    b->requests++;
    if (fails(b, SIM_FAILS_BEFORE) || fails(b, SIM_FAILS_AFTER) || fails(b, SIM_FAILS_LATE))
        return broken(why);
    const struct sim_object *is = sim_objects_find(b, key);
    ret->now_ms = b->now_ms;
    if (is == NULL) return why_set(why, ERR_MISSING, "%s is missing", key);
    *ret = (struct object_facts){.size = is->size,
                                 .written_ms = is->written_ms,
                                 .now_ms = b->now_ms,
                                 .has_versions = b->has_versions,
                                 .has_digest = !b->no_digests};
    return digest_of(bytes_of(is->at, is->size), &ret->digest);
}

static enum err
sim_get(struct objects *objects, const char *key,
        enum err (*take)(void *context, struct bytes piece), void *context, struct why *why)
{
    struct sim_objects *b = sim_of(objects);
    b->requests++;
    if (fails(b, SIM_FAILS_BEFORE)) return broken(why);
    const struct sim_object *is = sim_objects_find(b, key);
    if (is == NULL) return why_set(why, ERR_MISSING, "%s is missing", key);
    size_t half = is->size / 2;
    enum err e = half == 0 ? OK : take(context, bytes_of(is->at, half));
    if (e == OK && (fails(b, SIM_FAILS_AFTER) || fails(b, SIM_FAILS_LATE))) return broken(why);
    if (e == OK && is->size > half) e = take(context, bytes_of(is->at + half, is->size - half));
    return e;
}

static enum err
sim_read(struct objects *objects, const struct object_range *ranges, uint32_t count,
         struct query_control *control, struct why *why)
{
    struct sim_objects *b = sim_of(objects);
    (void)control;
    for (uint32_t i = 0; i < count; i++) {
        const struct object_range *r = &ranges[i];
        b->requests++;
        if (fails(b, SIM_FAILS_BEFORE) || fails(b, SIM_FAILS_AFTER) || fails(b, SIM_FAILS_LATE))
            return broken(why);
        const struct sim_object *is = sim_objects_find(b, r->key);
        if (is == NULL) return why_set(why, ERR_MISSING, "%s is missing", r->key);
        if (r->offset > is->size || r->size > is->size - r->offset)
            return why_set(why, ERR_CORRUPT, "%s is shorter", r->key);
        memcpy(r->to, is->at + r->offset, r->size);
    }
    return OK;
}

static enum err
sim_rule(struct objects *objects, char ret_rule[OBJECT_RULE_BYTES], struct why *why)
{
    struct sim_objects *b = sim_of(objects);
    b->requests++;
    if (fails(b, SIM_FAILS_BEFORE) || fails(b, SIM_FAILS_AFTER) || fails(b, SIM_FAILS_LATE))
        return broken(why);
    snprintf(ret_rule, OBJECT_RULE_BYTES, "%s", b->rule == NULL ? "" : b->rule);
    return OK;
}

static void
vanish(struct sim_objects *b)
{
    size_t i = 0;
    while (i < b->count)
        if (strncmp(b->items[i].key, b->vanishes, strlen(b->vanishes)) == 0)
            remove_now(b, b->items[i].key);
        else
            i++;
    b->vanishes = NULL;
}

static enum err
sim_list(struct objects *objects, const char *begin,
         enum err (*each)(void *context, const struct object_listed *object), void *context,
         struct why *why)
{
    struct sim_objects *b = sim_of(objects);
    enum err e = OK;
    b->requests++;
    if (fails(b, SIM_FAILS_BEFORE) || fails(b, SIM_FAILS_AFTER) || fails(b, SIM_FAILS_LATE))
        return broken(why);
    for (size_t i = 0; e == OK && i < b->count; i++) {
        const struct sim_object *is = &b->items[i];
        if (is->listed && strncmp(is->key, begin, strlen(begin)) == 0)
            e = each(context, &(struct object_listed){is->key, is->size, is->written_ms});
    }
    if (b->vanishes != NULL && strncmp(b->vanishes, begin, strlen(begin)) == 0) vanish(b);
    return e;
}

static enum err
sim_remove(struct objects *objects, const char *key, struct why *why)
{
    struct sim_objects *b = sim_of(objects);
    b->requests++;
    if (fails(b, SIM_FAILS_BEFORE)) return broken(why);
    if (fails(b, SIM_FAILS_LATE) || fails(b, SIM_COMES_AGAIN)) come_late(b, key, NULL, 0, false);
    if (fails(b, SIM_FAILS_LATE)) return broken(why);
    remove_now(b, key);
    return fails(b, SIM_FAILS_AFTER) ? broken(why) : OK;
}

static void
sim_free(struct objects *objects)
{
    (void)objects; /* sim_objects_fini() */
}

void
sim_objects_init(struct sim_objects *b)
{
    static const struct objects_ops ops = {sim_put,  sim_put_file, sim_look,   sim_get, sim_read,
                                           sim_list, sim_rule,     sim_remove, sim_free};
    *b =
        (struct sim_objects){.objects = {&ops, "sim"}, .now_ms = 1767225600000, .late_ms = 3600000};
}

void
sim_objects_settle(struct sim_objects *b)
{
    for (size_t i = 0; i < b->count; i++)
        b->items[i].listed = true;
}

void
sim_objects_fini(struct sim_objects *b)
{
    for (size_t i = 0; i < b->count; i++)
        free(b->items[i].at);
    for (size_t i = 0; i < b->late_count; i++)
        free(b->late[i].at);
    free(b->items);
    free(b->late);
}
