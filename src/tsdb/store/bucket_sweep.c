/*
 * bucket_sweep.c - removes the objects of parts that the catalog does not name: parts that merges
 * or retention have replaced, and uploads that were never named. An object goes when lists have
 * shown it unnamed for the grace, by the clock of the bucket alone: readers of an older number of
 * the catalog have that long.
 *
 * Keys are never written twice, so an object that is unnamed stays so, except for an upload of this
 * process that is still to be named. Another writer would have opened the catalog before its
 * uploads, and that is looked at first.
 */
#include "tsdb/store/bucket.h"

#define SWEEP_EVERY_NS (3600 * NS_PER_S)

struct sweep {
    struct tsdb_bucket *bucket;
    int64_t now_ms;
    struct catalog_unnamed *found;
    uint32_t count, capacity;
};

static bool
sweep_spares(const struct tsdb_bucket *b, const struct catalog_part *p)
{
    if (catalog_names(&b->base, p)) return true;
    for (uint32_t i = 0; i < b->uploaded_count; i++)
        if (p->session == b->session && b->uploaded[i].tag == p->tag) return true;
    return false;
}

static int64_t
known_since(const struct tsdb_bucket *b, const struct catalog_part *p, int64_t now_ms)
{
    for (uint32_t i = 0; i < b->unnamed_count; i++) {
        const struct catalog_unnamed *u = &b->unnamed[i];
        if (u->session == p->session && u->number == p->entry.number && u->tag == p->tag)
            return u->since_ms;
    }
    return now_ms;
}

static enum err
sweep_listed(void *context, const struct object_listed *object)
{
    struct sweep *s = context;
    struct catalog_part p;
    if (!catalog_part_of_key(object->key, &p) || sweep_spares(s->bucket, &p)) return OK;
    if (s->count == s->capacity) {
        uint32_t more = s->capacity == 0 ? 64 : 2 * s->capacity;
        struct catalog_unnamed *grown = mem_resize(
            s->bucket->options.memory, s->found, s->capacity * sizeof *grown, more * sizeof *grown);
        if (grown == NULL) return ERR_NOMEM;
        s->found = grown;
        s->capacity = more;
    }
    s->found[s->count++] = (struct catalog_unnamed){p.session, p.entry.number, p.tag,
                                                    known_since(s->bucket, &p, s->now_ms)};
    return OK;
}

static enum err
remove_object(struct objects *o, const char *key, struct why *why)
{
    struct object_facts facts = {.size = 0};
    enum err e = o->cache == NULL ? OK : o->ops->look(o, key, &facts, why);
    if (e == OK) object_cache_forget(o->cache, key, facts.size);
    return e && e != ERR_MISSING ? e : o->ops->remove(o, key, why);
}

/* Removes what is due, and leaves the rest in the list. */
static enum err
sweep_due(struct sweep *s, struct why *why)
{
    struct tsdb_bucket *b = s->bucket;
    uint32_t count = 0, i = 0;
    enum err e = OK;
    for (; i < s->count; i++) {
        const struct catalog_unnamed *u = &s->found[i];
        char key[OBJECT_KEY_BYTES];
        struct catalog_part p = {.entry.number = u->number, .session = u->session, .tag = u->tag};
        catalog_part_key(&p, key);
        bool is_due = s->now_ms - u->since_ms >= b->options.grace_ms;
        if (is_due && e == OK) e = remove_object(b->objects, key, why);
        if (!is_due || e) {
            s->found[count++] = *u;
            continue;
        }
        lock_take(&b->lock);
        b->stats.swept_total++;
        lock_drop(&b->lock);
    }
    s->count = count;
    return e;
}

/* Forgets deletions of which no object has samples any more: the list was made after the catalog
 * had lost them. */
static void
forget_left(struct tsdb_bucket *b)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < b->left_count; i++) {
        bool stays = false;
        for (uint32_t k = 0; k < b->unnamed_count; k++)
            stays |= b->unnamed[k].number < b->left[i].below;
        if (stays) b->left[count++] = b->left[i];
    }
    b->left_count = count;
}

/* Takes the list over. */
static enum err
keep_found(struct sweep *s, struct why *why)
{
    struct tsdb_bucket *b = s->bucket;
    uint32_t was = b->unnamed_count + b->left_count;
    mem_free(b->options.memory, b->unnamed, b->unnamed_count * sizeof *b->unnamed);
    b->unnamed = mem_resize(b->options.memory, s->found, s->capacity * sizeof *s->found,
                            s->count * sizeof *s->found);
    b->unnamed_count = s->count;
    lock_take(&b->lock);
    forget_left(b);
    b->stats.unnamed = s->count;
    lock_drop(&b->lock);
    return was == 0 && s->count == 0 ? OK : bucket_save(b, why);
}

enum err
bucket_sweep(struct tsdb_bucket *b, struct why *why)
{
    int64_t now_ns = env_monotonic_ns(b->db->env);
    struct sweep s = {.bucket = b};
    if (b->swept_ns != 0 && now_ns - b->swept_ns < SWEEP_EVERY_NS) return OK;
    if (b->bucket_ms == INT64_MIN || b->stats.clock_off_ms != 0)
        return OK; /* its time is in doubt */
    s.now_ms = b->bucket_ms;
    enum err e = bucket_look_at_chain(b, why);
    if (e == OK) e = b->objects->ops->list(b->objects, CATALOG_PARTS, sweep_listed, &s, why);
    if (e == ERR_NOMEM) (void)why_set(why, e, "not enough memory for a list of objects");
    if (e) {
        mem_free(b->options.memory, s.found, s.capacity * sizeof *s.found);
        return e;
    }
    e = sweep_due(&s, why);
    e = err_first(e, keep_found(&s, why));
    if (e == OK) b->swept_ns = now_ns;
    return e;
}
