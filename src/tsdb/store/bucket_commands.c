/*
 * bucket_commands.c - what commands do with a bucket while no server uses it: read and verify the
 * catalog, make a storage directory of it, and let a directory go on. See tsdb_bucket.h.
 *
 *   adopt: CATALOG with `open` as its pending delta --> MANIFEST --> FORMAT --> `open` is
 *   PUT
 *
 * A directory without FORMAT is not opened, so a crash before it leaves nothing that could be taken
 * for a whole store. After it, the server writes what is pending.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/storage_layout.h"
#include "tsdb/store/catalog.h"
#include "tsdb/store/store.h"
#include "tsdb/tsdb_bucket.h"

static enum err
load_catalog(struct objects *objects, struct arena *arena, struct catalog *ret, uint64_t *checksum,
             struct why *why)
{
    enum err e = catalog_load(objects, 0, arena, ret, checksum, why);
    if (e == OK && ret->number == 0)
        e = why_set(why, ERR_INPUT, "%s has no catalog of parts", objects->shown);
    return e;
}

static void
summarize(const struct catalog *c, struct tsdb_bucket_summary *to)
{
    *to = (struct tsdb_bucket_summary){.number = c->number,
                                       .made_ms = c->made_ms,
                                       .complete_pos = c->complete_pos,
                                       .complete_ms = c->complete_ms,
                                       .known_pos = c->top_pos,
                                       .parts = c->part_count,
                                       .tenants = c->state.tenant_count,
                                       .deletions = c->state.tombstone_count};
    for (uint32_t i = 0; i < c->part_count; i++)
        to->bytes += c->parts[i].size;
    for (uint32_t i = 0; i < c->state.tenant_count; i++) {
        const struct ledger *l = &c->state.tenants[i].totals;
        for (unsigned k = LEDGER_FLOAT; k <= LEDGER_HISTOGRAM; k++) {
            to->samples += l->stored[k];
            to->beyond += ledger_should_pend(l, k);
        }
    }
}

enum err
tsdb_bucket_read(struct objects *objects, struct budget *memory,
                 void (*each)(void *context, const struct tsdb_bucket_part *part), void *context,
                 struct tsdb_bucket_summary *ret, struct why *why)
{
    struct arena arena;
    struct catalog c;
    uint64_t checksum;
    arena_init(&arena, memory, 0, 0);
    enum err e = catalog_load(objects, 0, &arena, &c, &checksum, why);
    for (uint32_t i = 0; e == OK && each != NULL && i < c.part_count; i++) {
        char key[OBJECT_KEY_BYTES];
        const struct catalog_part *x = &c.parts[i];
        catalog_part_key(x, key);
        each(context, &(struct tsdb_bucket_part){key, x->entry.number, x->entry.time, x->size});
    }
    if (e == OK) summarize(&c, ret);
    arena_fini(&arena);
    return e;
}

/* --- verifying -------------------------------------------------------------------------------- */

enum { FINDING_BYTES = 512 };

struct bucket_check {
    struct objects *objects;
    const struct catalog *catalog;
    void (*say)(void *context, const char *line);
    void *context;
    bool read_all;
    struct tsdb_bucket_verdict verdict;
};

static void
bucket_finding(struct bucket_check *x, const char *key, const char *text)
{
    char line[FINDING_BYTES];
    snprintf(line, sizeof line, "%s %s", key, text);
    x->say(x->context, line);
}

static enum err
check_catalog_part(struct bucket_check *x, const struct catalog_part *p, struct why *why)
{
    char key[OBJECT_KEY_BYTES];
    struct object_facts facts;
    catalog_part_key(p, key);
    x->verdict.parts++;
    enum err e = objects_look(x->objects, key, x->read_all, &facts, why);
    if (e && e != ERR_MISSING) return e;
    bool is_there = e == OK;
    if (is_there && facts.is_archived) {
        x->verdict.archived++;
        bucket_finding(x, key, "is archived: it has to be restored before it can be read");
    }
    bool is_known = facts.has_digest || !facts.is_archived;
    if (is_there && facts.size == p->size &&
        (!is_known || memcmp(&facts.digest, &p->digest, sizeof p->digest) == 0))
        return OK;
    x->verdict.bad++;
    bucket_finding(x, key,
                   is_there ? "has another content than the part that was uploaded" : "is missing");
    return OK;
}

static enum err
note_unnamed(void *context, const struct object_listed *object)
{
    struct bucket_check *x = context;
    struct catalog_part p;
    if (catalog_part_of_key(object->key, &p) && catalog_names(x->catalog, &p)) return OK;
    x->verdict.unnamed++;
    x->verdict.unnamed_bytes += object->size;
    return OK;
}

enum err
tsdb_bucket_verify(struct objects *objects, struct budget *memory, bool read_all,
                   void (*say)(void *context, const char *line), void *context,
                   struct tsdb_bucket_verdict *ret, struct why *why)
{
    struct arena arena;
    struct catalog c;
    uint64_t checksum;
    struct bucket_check x = {objects, &c, say, context, read_all, {0}};
    arena_init(&arena, memory, 0, 0);
    enum err e = load_catalog(objects, &arena, &c, &checksum, why);
    for (uint32_t i = 0; e == OK && i < c.part_count; i++)
        e = check_catalog_part(&x, &c.parts[i], why);
    if (e == OK) e = objects->ops->list(objects, CATALOG_PARTS, note_unnamed, &x, why);
    if (e == OK && x.verdict.bad > 0)
        e = why_set(why, ERR_CORRUPT, "parts are missing or damaged: %" PRIu64, x.verdict.bad);
    arena_fini(&arena);
    *ret = x.verdict;
    return e;
}

/* --- adopting --------------------------------------------------------------------------------- */

static enum err
refuse_entry(void *context, const char *name, bool is_dir)
{
    (void)context;
    return is_dir && strcmp(name, "lost+found") == 0 ? OK : ERR_INPUT;
}

static enum err
make_empty(struct env *env, const char *dir, struct why *why)
{
    char parts_dir[FILE_PATH_BYTES];
    enum err e = env_mkdir(env, dir, why);
    if (e == OK) e = env_listdir(env, dir, refuse_entry, NULL, why);
    if (e == ERR_INPUT) return why_set(why, e, "%s is not empty", dir);
    if (e == OK) e = path_in(parts_dir, sizeof parts_dir, dir, STORAGE_PARTS, why);
    return e ? e : env_mkdir(env, parts_dir, why);
}

/* Makes all but the last step: see the top. */
static enum err
make_store(struct env *env, const char *dir, const struct catalog *c,
           const struct catalog_file *file, struct arena *arena, struct why *why)
{
    struct manifest m;
    enum err e = make_empty(env, dir, why);
    if (e == OK) e = env_syncdir(env, dir, why);
    if (e == OK) e = catalog_file_write(env, dir, arena->budget, file, why);
    if (e == OK && catalog_manifest(c, arena, &m)) e = catalog_no_memory(why);
    if (e == OK) e = manifest_write(env, dir, &m, arena->budget, why);
    return e ? e : format_write(env, dir, why);
}

/* PUTs the pending delta, which the server notes. ERR_INPUT: another process was faster. */
static enum err
put_opening(struct objects *objects, const struct catalog_file *file, struct why *why)
{
    char key[OBJECT_KEY_BYTES];
    bool written = false;
    catalog_delta_key(file->intent_number, key);
    enum err e = objects->ops->put(objects, key, file->intent, true, &written, why);
    if (e) {
        return why_prefix(why, e,
                          "the directory is whole, but %s is not written, which its server "
                          "will do",
                          key);
    }
    return written
               ? OK
               : why_set(why, ERR_INPUT,
                         "another process writes into the bucket: %s exists; remove the directory",
                         key);
}

enum err
tsdb_bucket_adopt(struct env *env, struct objects *objects, const char *dir, struct budget *memory,
                  struct tsdb_bucket_summary *ret, struct why *why)
{
    struct arena arena;
    struct buf open;
    struct catalog_file file = {{0}};
    uint64_t session, ignored;
    arena_init(&arena, memory, 0, 0);
    buf_init(&open, memory, CATALOG_BYTES_MAX);
    enum err e = load_catalog(objects, &arena, &file.base, &file.checksum, why);
    if (e == OK && env_random(env, &session, sizeof session))
        e = why_set(why, ERR_IO, "no random numbers");
    if (e == OK) {
        struct catalog delta =
            catalog_opening(&file.base, file.checksum, session, env_realtime_ms(env));
        summarize(&file.base, ret);
        if (catalog_write(&delta, &open, &ignored)) e = catalog_no_memory(why);
        file.intent_number = delta.number;
        file.intent = buf_bytes(&open);
    }
    if (e == OK) e = make_store(env, dir, &file.base, &file, &arena, why);
    if (e == OK) e = put_opening(objects, &file, why);
    buf_fini(&open);
    arena_fini(&arena);
    return e;
}

/* --- taking ----------------------------------------------------------------------------------- */

struct taking {
    struct objects *objects;
    struct arena *arena;
    struct buf scratch;
    struct catalog_file file;
    const char *dir;
};

/* The last delta that the directory knows is there, unchanged. */
static enum err
look_at_known(struct taking *t, struct why *why)
{
    const struct catalog *base = &t->file.base;
    if (base->number == 0) return OK;
    enum err e = catalog_look(t->objects, base->number, t->file.checksum, t->arena->budget, why);
    if (e != ERR_MISSING && e != ERR_CORRUPT) return e;
    return why_set(why, ERR_INPUT,
                   "%s has %s number %" PRIu64
                   " of the catalog, which %s knows: another bucket, or an older state",
                   t->objects->shown, e == ERR_CORRUPT ? "another" : "no", base->number, t->dir);
}

/* Applies the next delta of the bucket, if it is the pending one or changes nothing. */
static enum err
take_next(struct taking *t, bool *ret_more, struct why *why)
{
    struct catalog_file *f = &t->file;
    uint8_t kind;
    enum err e =
        catalog_next(t->objects, t->arena, &t->scratch, &f->base, &f->checksum, &kind, why);
    *ret_more = kind != 0;
    if (e || kind == 0) return e;
    if (kind != CATALOG_OPEN && !bytes_equal(buf_bytes(&t->scratch), f->intent)) {
        return why_set(
            why, ERR_INPUT,
            "%s has what %s lacks, from number %" PRIu64
            " on: make a new directory with 'firekeep bucket adopt', and bring over what "
            "only this one has with 'firekeep export --storage.path --after'",
            t->objects->shown, t->dir, f->base.number);
    }
    /* Its number is taken, by itself or by another: it will never be PUT again. */
    if (f->intent_number == f->base.number) {
        f->intent_number = 0;
        f->intent = bytes_of(NULL, 0);
    }
    return OK;
}

static enum err
take_chain(struct env *env, struct taking *t, struct why *why)
{
    bool more = true;
    enum err e = format_check(env, t->dir, why);
    if (e == OK) e = catalog_file_read(env, t->dir, t->arena, &t->file, why);
    if (e == OK) e = look_at_known(t, why);
    while (e == OK && more)
        e = take_next(t, &more, why);
    if (e == OK && t->file.base.number == 0)
        return why_set(why, ERR_INPUT, "%s has no catalog of parts", t->objects->shown);
    memset(t->file.owner, 0, sizeof t->file.owner);
    return e ? e : catalog_file_write(env, t->dir, t->arena->budget, &t->file, why);
}

enum err
tsdb_bucket_take(struct env *env, struct objects *objects, const char *dir, struct budget *memory,
                 uint64_t *ret_number, struct why *why)
{
    struct arena arena;
    struct dir_lock lock;
    struct taking t = {.objects = objects, .arena = &arena, .dir = dir};
    arena_init(&arena, memory, 0, 0);
    buf_init(&t.scratch, memory, CATALOG_BYTES_MAX);
    dir_lock_init(&lock, env, dir);
    enum err e = dir_lock_take(&lock, why);
    if (e == OK) e = dir_lock_complete(&lock, why);
    if (e == OK) e = take_chain(env, &t, why);
    *ret_number = e ? 0 : t.file.base.number;
    dir_lock_drop(&lock);
    buf_fini(&t.scratch);
    arena_fini(&arena);
    return e;
}
