/*
 * place_bucket.c - a repository in a bucket. The content of a file is stored in pieces of
 * BACKUP_PIECE_BYTES, of which the first has the name of the object and is written last: so an
 * object with its name is whole. There is no lock; see objects() for what protects a backup from
 * pruning.
 */
#include <stdio.h>
#include <string.h>

#include "backend/archive/store.h"
#include "backup/repository.h"

enum { KEY_BYTES = BACKUP_OBJECT_NAME_BYTES + 12, YOUNG_MS = 86400 * 1000 };

static const char PLACE_BUCKET_OBJECTS[] = "objects/", RECORDS[] = "backups/";

struct bucket_place {
    struct backup_place place; /* first: it is handed out */
    struct backup_bucket_options options;
    struct source_counts counts;
    struct objects *objects;
};

static struct bucket_place *
bucket_of(struct backup_place *place)
{
    return (struct bucket_place *)place;
}

static struct objects *
objects_of(struct backup_place *place)
{
    return bucket_of(place)->objects;
}

/* --- a new repository ------------------------------------------------------------------------- */

static enum err
refuse_object(void *context, const struct object_listed *object)
{
    bool *found = context;
    (void)object;
    *found = true;
    return ERR_CANCELED;
}

static enum err
prepare(struct backup_place *place, struct why *why)
{
    bool found = false;
    struct objects *objects = objects_of(place);
    enum err e = objects->ops->list(objects, "", refuse_object, &found, why);
    if (!found) return e;
    return why_set(why, ERR_MISSING, "%s is not a directory of backups, and is not empty",
                   place->shown);
}

/* --- small files ------------------------------------------------------------------------------ */

static enum err
read_small(struct backup_place *place, const char *name, struct buf *to, struct why *why)
{
    return objects_get(objects_of(place), name, to, why);
}

static enum err
write_small(struct backup_place *place, const char *name, struct bytes content, struct why *why)
{
    return objects_of(place)->ops->put(objects_of(place), name, content, false, NULL, why);
}

static enum err
remove_object(struct backup_place *place, const char *name, struct why *why)
{
    return objects_of(place)->ops->remove(objects_of(place), name, why);
}

/* --- lists ------------------------------------------------------------------------------------ */

struct record_keys {
    enum err (*each)(void *context, const char *name, bool is_dir);
    void *context;
};

static enum err
pass_record(void *context, const struct object_listed *object)
{
    const struct record_keys *l = context;
    return l->each(l->context, object->key + sizeof RECORDS - 1, false);
}

static enum err
records(struct backup_place *place, enum err (*each)(void *context, const char *name, bool is_dir),
        void *context, struct why *why)
{
    struct record_keys list = {each, context};
    return objects_of(place)->ops->list(objects_of(place), RECORDS, pass_record, &list, why);
}

struct key_walk {
    enum err (*each)(void *context, const char *name, uint64_t size_bytes);
    void *context;
    int64_t until_ms;                     /* objects that were written later are young */
    char young[BACKUP_OBJECT_NAME_BYTES]; /* the last young first piece */
};

enum { FIRST_NAME_BYTES = BACKUP_OBJECT_NAME_BYTES - 1 };

static enum err
pass_object(void *context, const struct object_listed *object)
{
    struct key_walk *l = context;
    bool is_known = object->written_ms != INT64_MIN;
    if (l->young[0] != '\0' && strncmp(object->key, l->young, FIRST_NAME_BYTES) == 0) return OK;
    if (is_known && object->written_ms <= l->until_ms)
        return l->each(l->context, object->key, object->size);
    if (strlen(object->key) == FIRST_NAME_BYTES)
        snprintf(l->young, sizeof l->young, "%s", object->key);
    return OK;
}

static enum err
note_newest(void *context, const struct object_listed *object)
{
    int64_t *newest_ms = context;
    if (object->written_ms > *newest_ms) *newest_ms = object->written_ms;
    return OK;
}

/* Leaves out young objects: a backup that runs at the same time may have just written them, and
 * names them in its record at its end. They are as old as they were when the newest record was
 * written, by the clock of the bucket: a clock here that is ahead makes none old. */
static enum err
objects(struct backup_place *place,
        enum err (*each)(void *context, const char *name, uint64_t size_bytes), void *context,
        struct why *why)
{
    struct bucket_place *b = bucket_of(place);
    int64_t now_ms = env_realtime_ms(b->options.env), newest_ms = 0;
    enum err e = b->objects->ops->list(b->objects, RECORDS, note_newest, &newest_ms, why);
    if (e) return e;
    struct key_walk list = {each, context, (now_ms < newest_ms ? now_ms : newest_ms) - YOUNG_MS,
                            ""};
    return b->objects->ops->list(b->objects, PLACE_BUCKET_OBJECTS, pass_object, &list, why);
}

/* --- objects ---------------------------------------------------------------------------------- */

static void
print_key(const struct backup_file *file, uint64_t piece, char to[KEY_BYTES])
{
    backup_object_name(file->digest, to);
    size_t size = strlen(to);
    if (piece > 0) snprintf(to + size, KEY_BYTES - size, ".%llu", (unsigned long long)piece);
}

static uint64_t
piece_count(const struct backup_file *file)
{
    return file->size_bytes <= BACKUP_PIECE_BYTES ? 1
                                                  : (file->size_bytes - 1) / BACKUP_PIECE_BYTES + 1;
}

static bool
place_bucket_has(struct backup_place *place, const struct backup_file *file)
{
    char key[KEY_BYTES];
    struct why unknown = {""};
    struct object_facts facts;
    print_key(file, 0, key);
    return objects_of(place)->ops->look(objects_of(place), key, &facts, &unknown) == OK &&
           facts.size ==
               (file->size_bytes < BACKUP_PIECE_BYTES ? file->size_bytes : BACKUP_PIECE_BYTES);
}

/* A file that is stored: its first piece stays in memory until all others are. */
struct stored_file {
    struct bucket_place *place;
    struct backup_repository *repository;
    struct backup_file *file;
    struct file from;
    uint8_t *first, *other; /* BACKUP_PIECE_BYTES each */
    size_t first_size;
};

/* Reads the first piece, and finds out the digest of all. */
static enum err
read_digest(struct stored_file *s, struct why *why)
{
    struct backup_content got;
    enum err e = content_begin(&got, s->repository, NULL, why);
    if (e) return e;
    e = file_read_some(&s->from, s->first, BACKUP_PIECE_BYTES, 0, &s->first_size, why);
    if (e == OK) e = content_take(&got, bytes_of(s->first, s->first_size));
    if (e == OK && s->first_size == BACKUP_PIECE_BYTES) e = content_take_file(&got, &s->from, why);
    e = content_end(&got, e);
    s->file->size_bytes = got.size_bytes;
    memcpy(s->file->digest, got.digest, sizeof s->file->digest);
    return e;
}

static enum err
put_piece(struct stored_file *s, uint64_t number, struct bytes content, struct why *why)
{
    char key[KEY_BYTES];
    print_key(s->file, number, key);
    return s->place->objects->ops->put(s->place->objects, key, content, false, NULL, why);
}

static enum err
put_others(struct stored_file *s, struct why *why)
{
    struct backup_content got;
    size_t size;
    enum err e = content_begin(&got, s->repository, NULL, why);
    if (e) return e;
    e = content_take(&got, bytes_of(s->first, s->first_size));
    for (uint64_t i = 1; i < piece_count(s->file) && e == OK; i++) {
        e = file_read_some(&s->from, s->other, BACKUP_PIECE_BYTES, i * BACKUP_PIECE_BYTES, &size,
                           why);
        if (e == OK) e = content_take(&got, bytes_of(s->other, size));
        if (e == OK) e = put_piece(s, i, bytes_of(s->other, size), why);
    }
    e = content_end(&got, e);
    if (e || memcmp(got.digest, s->file->digest, sizeof got.digest) == 0) return e;
    return why_set(why, ERR_AGAIN, "%s changed while it was read", s->from.path);
}

static enum err
put_file(struct stored_file *s, bool *ret_new, struct why *why)
{
    enum err e = read_digest(s, why);
    if (e || place_bucket_has(&s->place->place, s->file)) return e;
    if (piece_count(s->file) > 1) e = put_others(s, why);
    if (e == OK) e = put_piece(s, 0, bytes_of(s->first, s->first_size), why); /* invariant 1 */
    *ret_new = e == OK;
    return e;
}

static enum err
put(struct backup_place *place, struct backup_repository *r, const char *path,
    struct backup_file *file, bool *ret_new, struct why *why)
{
    struct stored_file s = {
        .place = bucket_of(place), .repository = r, .file = file, .from = FILE_CLOSED};
    s.first = mem_alloc(r->memory, BACKUP_FILE_MEMORY);
    if (s.first == NULL) return why_set(why, ERR_NOMEM, "not enough memory to read %s", path);
    s.other = s.first + BACKUP_PIECE_BYTES;
    enum err e = file_open(r->env, path, FILE_READ, &s.from, why);
    if (e == OK) e = put_file(&s, ret_new, why);
    err_ignore(file_close(&s.from), "it was only read");
    mem_free(r->memory, s.first, BACKUP_FILE_MEMORY);
    return e;
}

static enum err
get(struct backup_place *place, const struct backup_file *file, struct backup_content *to,
    struct why *why)
{
    char key[KEY_BYTES];
    enum err e = OK;
    for (uint64_t i = 0; i < piece_count(file) && e == OK; i++) {
        print_key(file, i, key);
        e = objects_of(place)->ops->get(objects_of(place), key, content_take, to, why);
    }
    return e;
}

static void
free_place(struct backup_place *place)
{
    struct bucket_place *b = bucket_of(place);
    if (b->objects != NULL) b->objects->ops->free(b->objects);
    mem_free(b->options.memory, b, sizeof *b);
}

enum err
backup_place_bucket(const struct backup_bucket_options *options, struct backup_place **ret_place,
                    struct why *why)
{
    static const struct backup_place_ops ops = {
        prepare,          NULL, read_small, write_small, remove_object, records, objects,
        place_bucket_has, put,  get,        free_place};
    struct bucket_place *b = mem_new(options->memory, sizeof *b);
    if (b == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    b->place = (struct backup_place){&ops, options->shown};
    b->options = *options;
    const struct reader_options reading = {.env = options->env,
                                           .memory = options->memory,
                                           .settings = options->settings,
                                           .puller = options->puller,
                                           .counts = &b->counts};
    enum err e = objects_bucket(&reading, options->stop, &b->objects, why);
    if (e)
        free_place(&b->place);
    else
        *ret_place = &b->place;
    return e;
}
