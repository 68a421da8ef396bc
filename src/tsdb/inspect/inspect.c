/*
 * inspect.c - describes files on disk: a directory, one part, or one segment of the log.
 *
 * A directory is described by the roots of its parts and the headers of its log, both as MANIFEST
 * lists them, and all other files: constant work for each part. Beside a server, the MANIFEST may
 * be outdated when its parts are looked for. If anything is missing MANIFEST is read again, and
 * only if it is unchanged this is damage. A part is described by its pages in file order, and what
 * its root counts; a segment by wal_inspect(), with its payloads counted.
 *
 * Remarks are bounded: a damaged place that is among the last remarks is not repeated.
 */
#include "tsdb/inspect/inspect.h"
#include "base/hash/hash.h"
#include "base/text/texts.h"
#include "model/labels.h"
#include "model/storage_layout.h"
#include "tsdb/merge/parts.h"
#include "tsdb/part/walk.h"
#include "tsdb/store/catalog.h"
#include "tsdb/store/store.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { INSPECT_CACHE_BYTES = 16 * 1024 * 1024 };
enum remark_kind { REMARK_NOTE, REMARK_DAMAGE };

/* --- words ------------------------------------------------------------------------------------ */

const char *
inspect_page_word(unsigned kind)
{
    static const char *const words[INSPECT_PAGE_KINDS] = {
        [PAGE_TIMES] = "times",         [PAGE_VALUES] = "values",
        [PAGE_ROWS] = "rows",           [PAGE_LABEL_VALUES] = "label values",
        [PAGE_POSTINGS] = "postings",   [PAGE_NAMES] = "names",
        [PAGE_EXEMPLARS] = "exemplars", [PAGE_METADATA] = "metadata",
        [PAGE_DIRECTORY] = "directory", [PAGE_ROOT] = "root",
    };
    return kind < INSPECT_PAGE_KINDS ? words[kind] : NULL;
}

_Static_assert(PAGE_ROOT + 1 == INSPECT_PAGE_KINDS, "docs/format/part.md: a word for each kind");

const char *
inspect_record_word(unsigned type)
{
    static const char *const words[WAL_TYPE_LAST + 1] = {
        "unknown",   "commit",   "series", "floats",  "histograms",
        "exemplars", "metadata", "ledger", "padding", "own",
    };
    return words[type <= WAL_TYPE_LAST ? type : 0];
}

const char *
inspect_segment_word(enum wal_segment_state state)
{
    static const char *const words[] = {"live", "void", "blank", "damaged", "set aside"};
    return words[state];
}

const char *
inspect_end_word(enum wal_segment_end end)
{
    static const char *const words[] = {
        "clean: ends where the next segment's header says",
        "clean: ends with the file",
        "clean: followed by zeros, nothing was written after it",
        "torn: an incomplete commit, or one being written",
        ("clean: followed by bytes of an earlier use of the file, or by the first bytes of a torn "
         "commit"),
    };
    return words[end];
}

/* --- paths ------------------------------------------------------------------------------------ */

/* Gets the size of a file. ERR_MISSING. */
static MUST_CHECK enum err
inspect_file_bytes(struct env *env, const char *dir, const char *name, uint64_t *ret_bytes)
{
    char path[256];
    struct file file = FILE_CLOSED;
    enum err e = path_join(path, sizeof path, dir, name);
    if (e == OK) e = file_open(env, path, FILE_READ, &file, NULL);
    if (e == OK) e = file_size(&file, ret_bytes, NULL);
    file_close(&file);
    return e;
}

/* "a/b/c" to "a/b" and "c"; "c" alone is in ".". */
static void
split(const char *path, char dir[256], char name[256])
{
    const char *slash = strrchr(path, '/');
    snprintf(name, 256, "%s", slash == NULL ? path : slash + 1);
    if (slash == NULL)
        snprintf(dir, 256, ".");
    else
        snprintf(dir, 256, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

static bool
file_is_there(struct env *env, const char *dir, const char *name)
{
    uint64_t bytes;
    return inspect_file_bytes(env, dir, name, &bytes) == OK;
}

static bool
is_storage(struct env *env, const char *dir)
{
    return file_is_there(env, dir, STORAGE_FORMAT) || file_is_there(env, dir, STORAGE_MANIFEST);
}

enum err
inspect_path(struct env *env, const char *path, struct inspect_target *ret, struct why *why)
{
    struct inspect_target t = {.kind = INSPECT_DIRECTORY};
    char plain[256], name[256];
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    if (size == 0) return why_set(why, ERR_MISSING, "path is empty");
    if (size >= sizeof plain) return why_set(why, ERR_LIMIT, "%.200s: path is too long", path);
    snprintf(plain, sizeof plain, "%.*s", (int)size, path);
    split(plain, t.dir, name);
    if (strcmp(name, "part") == 0) {
        snprintf(plain, sizeof plain, "%s", t.dir);
        split(plain, t.dir, name);
    }
    if (wal_segment_name(name, &t.number)) {
        t.kind = INSPECT_SEGMENT;
    } else if (storage_part_of(name, &t.number) <= STORAGE_PART_DAMAGED &&
               !is_storage(env, plain)) {
        t.kind = INSPECT_PART;
        snprintf(t.name, sizeof t.name, "%.60s", name);
        if (!file_is_there(env, plain, "part"))
            return why_set(why, ERR_MISSING, "%s: file 'part' not found", plain);
    } else {
        enum err e = storage_check_restored(env, plain, why);
        if (e == OK && !is_storage(env, plain)) {
            e = why_set(why, ERR_MISSING,
                        "%.*s is not a Firekeep storage directory, part or log segment", (int)size,
                        path);
        }
        if (e) return e;
        snprintf(t.dir, sizeof t.dir, "%s", plain);
    }
    *ret = t;
    return OK;
}

/* --- remarks ---------------------------------------------------------------------------------- */

/* Returns a copy that ends with a NUL; NULL if memory is refused. */
static const char *
arena_text(struct arena *arena, const char *text)
{
    return (const char *)arena_copy(arena, bytes_of(text, strlen(text) + 1)).at;
}

/* Adds a remark, unless it is damage that is among the last remarks. ERR_NOMEM. */
PRINTF_LIKE(4, 5)
static enum err
remark(struct inspect_remarks *r, struct arena *arena, enum remark_kind kind, const char *format,
       ...)
{
    char text[480];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (kind == REMARK_DAMAGE) {
        uint64_t hash = hash_bytes(bytes_of_text(text), 1), known = r->damage_count;
        for (uint64_t i = 0; i < known && i < INSPECT_REMARKS_MAX; i++)
            if (r->recent[i] == hash) return OK;
        r->recent[r->damage_count++ % INSPECT_REMARKS_MAX] = hash;
    }
    if (r->count == INSPECT_REMARKS_MAX) {
        r->left_out++;
        return OK;
    }
    const char *copy = arena_text(arena, text);
    if (copy == NULL) return ERR_NOMEM;
    r->items[r->count++] = (struct inspect_remark){kind == REMARK_DAMAGE, copy};
    return OK;
}

/* --- a segment -------------------------------------------------------------------------------- */

/* Histogram of the sizes of commits, for their median: 32 steps for each doubling, so a step spans
 * at most 3 % of its sizes. */
enum { STEPS = 32, STEP_BITS = 5, DOUBLINGS = 40 };

struct sizes {
    uint64_t counts[DOUBLINGS][STEPS];
    uint64_t count;
};

/* Returns the least size of the step that holds the median. Row r holds sizes from 2^(r + 5) on;
 * row 0 also smaller ones. */
static uint64_t
sizes_median(const struct sizes *s)
{
    uint64_t seen = 0;
    for (unsigned row = 0; row < DOUBLINGS; row++) {
        for (unsigned step = 0; step < STEPS; step++) {
            seen += s->counts[row][step];
            if (2 * seen >= s->count && s->count > 0) return ((uint64_t)STEPS + step) << row;
        }
    }
    return 0;
}

struct log_pass {
    const struct inspect_options *options;
    struct inspect_segment *result;
    struct sizes *sizes;
    struct arena scratch;
    enum err failed; /* error met while a remark was added */
    uint64_t items;  /* items of the current record */
    uint64_t done_bytes;
};

static enum err
note_time(void *context, uint64_t ref, int64_t t_ms, enum ledger_kind kind)
{
    struct log_pass *x = context;
    struct time_range *r = &x->result->samples;
    (void)ref;
    (void)kind;
    if (t_ms < r->min_ms) r->min_ms = t_ms;
    if (t_ms > r->max_ms) r->max_ms = t_ms;
    x->items++;
    return OK;
}

static enum err
note_series(void *context, struct bytes tenant, uint64_t ref, struct bytes labels)
{
    struct log_pass *x = context;
    (void)tenant;
    (void)ref;
    (void)labels;
    x->items++;
    return OK;
}

static enum err
note_family(void *context, struct bytes tenant, const struct metadata *metadata)
{
    struct log_pass *x = context;
    (void)tenant;
    (void)metadata;
    x->items++;
    return OK;
}

static enum err
note_ledger(void *context, struct bytes tenant, const struct ledger *change)
{
    struct log_pass *x = context;
    (void)tenant;
    (void)change;
    x->items++;
    return OK;
}

static enum err
note_record(void *context, const struct wal_record_info *info)
{
    struct log_pass *x = context;
    const struct wal_record *record = &info->record;
    uint8_t type = record->type <= WAL_TYPE_LAST ? record->type : 0;
    struct inspect_records *to = &x->result->types[type];
    struct record_visitor visitor = {note_series, note_time, note_family, note_ledger, x};
    struct why why;
    x->items = type < WAL_SERIES || type > WAL_LEDGER; /* a record of another type is one item */
    enum err e = record_walk(record, &visitor, &x->scratch, &why);
    if (e == ERR_CORRUPT)
        e = remark(&x->result->remarks, &x->result->arena, REMARK_DAMAGE, "%s", why.text);
    to->count++;
    to->record_bytes += info->record_bytes;
    to->payload_bytes += info->payload_bytes;
    to->raw_bytes += record->payload.size;
    to->packed += info->packed;
    to->items += x->items;
    return e;
}

static enum err
note_commit(void *context, const struct wal_commit_info *c)
{
    struct log_pass *x = context;
    struct inspect_segment *r = x->result;
    unsigned bits = 63 - (unsigned)__builtin_clzll(c->bytes | STEPS);
    unsigned row = bits - STEP_BITS < DOUBLINGS ? bits - STEP_BITS : DOUBLINGS - 1;
    x->sizes->counts[row][(c->bytes >> row) % STEPS]++;
    x->sizes->count++;
    if (r->commits++ == 0) r->first_commit_ms = c->realtime_ms;
    r->last_commit_ms = c->realtime_ms;
    if (c->bytes > r->commit_bytes_max) r->commit_bytes_max = c->bytes;
    if (c->record_count > r->commit_records_max) r->commit_records_max = c->record_count;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        r->accepted[k] += c->accepted[k];
    x->done_bytes += c->bytes;
    if (x->options->progress != NULL) x->options->progress(x->options->context, x->done_bytes, 0);
    return OK;
}

static void
note_damage(void *context, uint64_t pos, uint64_t bytes, const char *text)
{
    struct log_pass *x = context;
    enum err e = remark(&x->result->remarks, &x->result->arena, REMARK_DAMAGE,
                        "%.400s (position %" PRIu64 ", %" PRIu64 " bytes)", text, pos, bytes);
    x->failed = err_first(x->failed, e);
}

static enum err
segment_state_remarks(const struct inspect_options *options, const struct inspect_target *target,
                      struct inspect_segment *r, struct why *why)
{
    struct wal_inspection again;
    static const struct wal_inspector no_inspector = {0};
    enum err e = OK;
    if (r->log.segment.state == WAL_SEGMENT_DAMAGED)
        e = remark(&r->remarks, &r->arena, REMARK_DAMAGE, "both copies of its header are damaged");
    if (e == OK && r->log.segment.copy_damaged) {
        e = remark(&r->remarks, &r->arena, REMARK_DAMAGE,
                   "one of the two copies of its header is damaged");
    }
    if (e || r->remarks.damage_count == 0) return e;
    /* A server may have released the file while it was read, which is not damage. */
    e = wal_inspect(options->env, target->dir, target->number, options->memory, &no_inspector,
                    &again, why);
    if (e == ERR_MISSING || (e == OK && again.segment.state == WAL_SEGMENT_BLANK)) {
        r->remarks.damage_count = 0;
        r->remarks.count = 0;
        return remark(&r->remarks, &r->arena, REMARK_NOTE,
                      "the file was deleted or reused for a newer segment during the "
                      "inspection: the result may be incomplete");
    }
    return e;
}

static enum err
segment_try(const struct inspect_options *options, const struct inspect_target *target,
            struct inspect_segment *r, struct why *why)
{
    struct log_pass x = {.options = options, .result = r};
    struct wal_inspector inspector = {
        .commit = note_commit, .record = note_record, .damage = note_damage, .context = &x};
    memset(r, 0, sizeof *r);
    r->samples = (struct time_range){INT64_MAX, INT64_MIN};
    x.sizes = mem_new(options->memory, sizeof *x.sizes);
    arena_init(&r->arena, options->memory, 0, 0);
    arena_init(&x.scratch, options->memory, 0, 0);
    enum err e = x.sizes == NULL ? ERR_NOMEM
                                 : wal_inspect(options->env, target->dir, target->number,
                                               options->memory, &inspector, &r->log, why);
    if (e == OK) e = x.failed;
    if (e == OK) e = segment_state_remarks(options, target, r, why);
    if (e == OK) r->commit_bytes_p50 = sizes_median(x.sizes);
    arena_fini(&x.scratch);
    mem_free(options->memory, x.sizes, sizeof *x.sizes);
    if (e) return e;
    if (r->log.segment.state == WAL_SEGMENT_LIVE || r->log.segment.state == WAL_SEGMENT_VOID) {
        uint64_t file = r->log.segment.file_bytes, header = WAL_SEGMENT_HEADER_BYTES;
        uint64_t used = r->log.end_pos - r->log.segment.base_pos;
        r->header_bytes = file < header ? file : header;
        r->rest_bytes = file > header + used ? file - header - used : 0; /* 0: it was cut short */
    } else {
        r->rest_bytes = r->log.segment.file_bytes;
    }
    return OK;
}

/* A damaged segment is read twice, because a commit that is written meanwhile can look damaged. */
enum err
inspect_segment(const struct inspect_options *options, const struct inspect_target *target,
                struct inspect_segment *ret_segment, struct why *why)
{
    struct inspect_segment r;
    if (why != NULL) why->text[0] = '\0';
    enum err e = segment_try(options, target, &r, why);
    if (e == OK && r.remarks.damage_count > 0) {
        inspect_segment_fini(&r);
        e = segment_try(options, target, &r, why);
    }
    if (e) {
        inspect_segment_fini(&r);
        if (why != NULL && why->text[0] == '\0') why_set(why, e, "%s", err_word(e));
        return e;
    }
    *ret_segment = r;
    return OK;
}

void
inspect_segment_fini(struct inspect_segment *segment)
{
    arena_fini(&segment->arena);
}

/* --- a part ----------------------------------------------------------------------------------- */

struct page_pass {
    const struct inspect_options *options;
    struct inspect_part *result;
    struct page_source source;
    enum err failed; /* error met while a remark was added */
};

static void
page_count(void *context, const struct page_facts *facts)
{
    struct page_pass *x = context;
    struct inspect_part *r = x->result;
    uint64_t end = x->source.file_bytes - PART_END_BYTES;
    assert((unsigned)facts->kind < INSPECT_PAGE_KINDS);
    struct inspect_pages *p = &r->pages[facts->kind];
    p->count++;
    p->header_bytes += PAGE_HEADER_BYTES;
    p->stored_bytes += facts->stored_bytes;
    p->raw_bytes += facts->raw_bytes;
    if (facts->next > end) r->end_bytes -= facts->next - end; /* it reaches into the footer */
    if (x->options->progress != NULL)
        x->options->progress(x->options->context, facts->next, x->source.file_bytes);
}

static void
page_damaged(void *context, uint64_t offset, const struct why *why)
{
    struct page_pass *x = context;
    (void)offset;
    enum err e = remark(&x->result->remarks, &x->result->arena, REMARK_DAMAGE, "%s", why->text);
    x->failed = err_first(x->failed, e);
}

static void
page_skipped(void *context, uint64_t bytes)
{
    struct page_pass *x = context;
    x->result->unreadable_bytes += bytes;
}

static enum err
part_inspect(const struct inspect_options *options, const struct inspect_target *target,
             struct page_cache *cache, struct inspect_part *r, struct why *why)
{
    char dir[256], path[256];
    struct part *part;
    struct why reason;
    uint64_t number;
    enum err e = path_in(dir, sizeof dir, target->dir, target->name, why);
    if (e == OK) e = path_in(path, sizeof path, dir, "part", why);
    if (e) return e;
    struct page_pass x = {.options = options, .result = r};
    const struct page_visitor visitor = {page_count, page_damaged, page_skipped, &x};
    x.source = (struct page_source){.cache = cache,
                                    .cache_id = page_cache_new_id(cache),
                                    .part_number = target->number,
                                    .file = FILE_CLOSED};
    e = file_open(options->env, path, FILE_READ, &x.source.file, why);
    if (e == OK) e = file_size(&x.source.file, &x.source.file_bytes, why);
    if (e == OK) {
        r->file_bytes = x.source.file_bytes;
        r->end_bytes = r->file_bytes < 2 * PART_END_BYTES ? r->file_bytes : 2 * PART_END_BYTES;
        if (r->file_bytes > 2 * PART_END_BYTES) e = pages_walk(&x.source, &visitor, why);
        if (e == OK) e = x.failed;
    }
    page_cache_forget(cache, x.source.cache_id);
    file_close(&x.source.file);
    if (e) return e;
    if (storage_part_of(target->name, &number) == STORAGE_PART_DAMAGED) {
        return remark(&r->remarks, &r->arena, REMARK_DAMAGE,
                      "set aside because its root could not be read");
    }
    e = part_open(options->env, options->memory, cache, target->dir, target->number, &part,
                  &reason);
    if (e == ERR_CORRUPT) return remark(&r->remarks, &r->arena, REMARK_DAMAGE, "%s", reason.text);
    if (e == ERR_MISSING) {
        return remark(&r->remarks, &r->arena, REMARK_NOTE,
                      "merged into another part during the inspection: only its pages are listed");
    }
    if (e) return why_set(why, e, "%s", reason.text);
    r->root_whole = true;
    r->facts = *part_info(part);
    r->tenants = part_tenant_count(part);
    part_unref(part);
    return OK;
}

enum err
inspect_part(const struct inspect_options *options, const struct inspect_target *target,
             struct inspect_part *ret_part, struct why *why)
{
    struct page_cache *cache;
    struct inspect_part r = {.root_whole = false};
    enum err e = page_cache_new(options->memory, INSPECT_CACHE_BYTES, &cache);
    if (e) return why_set(why, e, "not enough memory to read a part");
    if (why != NULL) why->text[0] = '\0';
    arena_init(&r.arena, options->memory, 0, 0);
    e = part_inspect(options, target, cache, &r, why);
    page_cache_free(cache);
    if (e) {
        inspect_part_fini(&r);
        if (why != NULL && why->text[0] == '\0') why_set(why, e, "%s", err_word(e));
        return e;
    }
    *ret_part = r;
    return OK;
}

void
inspect_part_fini(struct inspect_part *part)
{
    arena_fini(&part->arena);
}

/* --- a directory ------------------------------------------------------------------------------ */

enum { TRIES = 5 };

struct dir_pass {
    const struct inspect_options *options;
    struct inspect_dir *result;
    const char *dir;
    struct manifest manifest;
    struct catalog_file catalog;
    struct page_cache *cache;
    char parts_dir[256];
    bool missing; /* a part or the log was missing */
    struct why *why;
};

static enum err
damage(struct dir_pass *x, const char *text)
{
    return remark(&x->result->remarks, &x->result->arena, REMARK_DAMAGE, "%s", text);
}

/* --- parts ------------------------------------------------------------------------------------ */

static enum err
part_missing(struct dir_pass *x, const char *text)
{
    x->missing = true;
    return damage(x, text);
}

static enum err
part_look(struct dir_pass *x, const struct part_entry *named)
{
    struct inspect_dir *r = x->result;
    struct part *part = NULL;
    struct why reason;
    char dir[256];
    r->parts = arena_push(&r->arena, r->parts, r->part_count, sizeof *r->parts);
    if (r->parts == NULL) return ERR_NOMEM;
    struct inspect_live_part *p = &r->parts[r->part_count];
    *p = (struct inspect_live_part){.facts = {.number = named->number,
                                              .from_pos = named->from_pos,
                                              .to_pos = named->to_pos,
                                              .time = {INT64_MAX, INT64_MIN}},
                                    .applied = named->applied};
    enum err e = storage_part_path(dir, sizeof dir, x->parts_dir, named->number, STORAGE_PART);
    if (e) return why_set(x->why, e, "%.200s: path is too long", x->parts_dir);
    err_ignore(inspect_file_bytes(x->options->env, dir, "meta.json", &p->meta_bytes),
               "nothing reads it");
    p->remote = named->remote;
    e = named->remote
            ? catalog_file_open_part(&x->catalog, x->options->env, x->dir, &r->arena, named->number,
                                     x->options->memory, x->cache, NULL, &part, &reason)
            : part_open(x->options->env, x->options->memory, x->cache, x->parts_dir, named->number,
                        &part, &reason);
    if (e == OK) {
        p->facts = *part_info(part);
    } else if (e == ERR_CORRUPT) {
        p->unreadable = true;
        err_ignore(inspect_file_bytes(x->options->env, dir, "part", &p->facts.file_bytes),
                   "then its size is unknown, too");
        e = damage(x, reason.text);
    } else if (e == ERR_MISSING) {
        p->unreadable = true;
        snprintf(reason.text, sizeof reason.text, "%.250s: listed in MANIFEST but missing", dir);
        e = part_missing(x, reason.text);
    } else {
        why_set(x->why, e, "%s", reason.text);
    }
    part_unref(part);
    r->part_count += e == OK;
    return e;
}

/* --- partitions ------------------------------------------------------------------------------- */

static int
by_time(const void *a, const void *b)
{
    const struct inspect_partition *x = a, *y = b;
    if (x->several != y->several) return x->several - y->several;
    return (x->time.min_ms > y->time.min_ms) - (x->time.min_ms < y->time.min_ms);
}

static enum err
partitions_sum(struct dir_pass *x)
{
    struct inspect_dir *r = x->result;
    r->partitions = arena_new(&r->arena, (r->part_count + 1) * sizeof *r->partitions);
    if (r->partitions == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < r->part_count; i++) {
        const struct part_info *f = &r->parts[i].facts;
        bool empty = f->time.min_ms > f->time.max_ms;
        struct time_range time = {0, 0};
        if (!empty) time = partition_of(f->time.min_ms, x->options->now_ms);
        bool several = empty || !range_holds(time, f->time);
        struct inspect_partition *p = r->partitions, *end = p + r->partition_count;
        while (p < end && (p->several != several || (!several && p->time.min_ms != time.min_ms)))
            p++;
        if (p == end) {
            assert(r->partition_count < r->part_count); /* each has a part at least */
            r->partition_count++;
            *p = (struct inspect_partition){.time = time, .several = several};
            if (several) p->time = (struct time_range){INT64_MAX, INT64_MIN};
        }
        r->series += f->series_count;
        r->data_bytes += f->data_bytes;
        r->index_bytes += f->file_bytes - f->data_bytes;
        r->meta_bytes += r->parts[i].meta_bytes;
        if (several && !empty && f->time.min_ms < p->time.min_ms) p->time.min_ms = f->time.min_ms;
        if (several && !empty && f->time.max_ms > p->time.max_ms) p->time.max_ms = f->time.max_ms;
        p->parts++;
        p->data_bytes += f->data_bytes;
        p->index_bytes += f->file_bytes - f->data_bytes;
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
            p->samples[k] += f->sample_count[k];
            r->samples[k] += f->sample_count[k];
        }
    }
    if (r->partition_count > 0)
        qsort(r->partitions, r->partition_count, sizeof *r->partitions, by_time);
    return OK;
}

/* --- the manifest ----------------------------------------------------------------------------- */

static enum err
tombstone_copy(struct dir_pass *x, const struct manifest_tombstone *from, struct tsdb_receipt *to)
{
    static const char *const operators[] = {"=", "!=", "=~", "!~"};
    struct buf text;
    buf_init(&text, x->options->memory, 1 << 24);
    buf_put_u8(&text, '{');
    for (uint32_t i = 0; i < from->matcher_count; i++) {
        if (i > 0) buf_put_text(&text, ", ");
        const struct manifest_matcher *m = &from->matchers[i];
        label_print(&text, &(struct label){m->name, m->pattern}, operators[m->type % 4]);
    }
    buf_put_u8(&text, '}');
    *to = (struct tsdb_receipt){.id = from->id,
                                .pos = from->pos,
                                .made_ms = from->made_ms,
                                .range = from->range,
                                .tenant = from->tenant,
                                .selector = arena_copy(&x->result->arena, buf_bytes(&text))};
    enum err e = buf_error(&text);
    buf_fini(&text);
    return e || to->selector.at == NULL ? ERR_NOMEM : OK;
}

const char *
inspect_receipt_word(enum deletion_state state)
{
    static const char *const words[] = {[DELETION_HELD] = "not final",
                                        [DELETION_FINAL] = "final",
                                        [DELETION_DONE] = "done",
                                        [DELETION_UNDONE] = "undone"};
    return words[state];
}

static enum err
rules_look(struct dir_pass *x)
{
    struct inspect_dir *r = x->result;
    const struct manifest *m = &x->manifest;
    uint32_t retaining = m->done_count[RULES_RETAIN];
    uint32_t count = retaining + m->done_count[RULES_DOWNSAMPLE];
    r->rules = arena_new(&r->arena, (count + 1u) * sizeof *r->rules);
    if (r->rules == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        const struct manifest_done *from =
            i < retaining ? &m->done[RULES_RETAIN][i] : &m->done[RULES_DOWNSAMPLE][i - retaining];
        const struct rule_done *done = &from->done;
        r->rules[i] = (struct inspect_rule){.match = from->match,
                                            .tenants = from->tenants,
                                            .resolution_ms = from->resolution_ms,
                                            .samples = done->samples[LEDGER_FLOAT] +
                                                       done->samples[LEDGER_HISTOGRAM],
                                            .exemplars = done->samples[LEDGER_EXEMPLAR],
                                            .series = done->series,
                                            .windows = done->windows,
                                            .bytes = done->bytes};
    }
    r->rule_count = count;
    return OK;
}

static enum err
manifest_look(struct dir_pass *x)
{
    struct inspect_dir *r = x->result;
    struct why reason;
    enum err e = format_check(x->options->env, x->dir, &reason);
    if (e == ERR_CORRUPT || e == ERR_MISSING)
        e = damage(x, reason.text);
    else if (e == OK)
        e = format_read(x->options->env, x->dir, &r->version, &r->min_reader, &reason);
    if (e) return why_set(x->why, e, "%s", reason.text);
    e = manifest_read(x->options->env, x->dir, &r->arena, &x->manifest, &reason);
    if (e == ERR_CORRUPT || e == ERR_MISSING) return damage(x, reason.text);
    if (e) return why_set(x->why, e, "%s", reason.text);
    /* Texts of the manifest are in the result's arena. */
    const struct manifest *m = &x->manifest;
    r->manifest_whole = true;
    r->has_log = manifest_has_log(m);
    r->edit = m->edit;
    r->store_pos = m->store_pos;
    r->newest_ms = m->newest_ms;
    r->retention_now_ms = m->retention_now_ms;
    r->tenants = m->tenants;
    r->tenant_count = m->tenant_count;
    r->receipts = m->receipts;
    r->receipt_count = m->receipt_count;
    r->tombstones = arena_new(&r->arena, (m->tombstone_count + 1) * sizeof *r->tombstones);
    if (r->tombstones == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < m->receipt_count; i++) {
        struct tsdb_receipt *of = &r->receipts[i];
        of->state = of->undone_ms != INT64_MIN ? DELETION_UNDONE : DELETION_DONE;
        for (uint32_t k = 0; k < m->tombstone_count && of->state == DELETION_DONE; k++) {
            if (m->tombstones[k].id != of->id) continue;
            of->state = of->id > m->final_tombstone ? DELETION_HELD : DELETION_FINAL;
        }
    }
    for (uint32_t i = 0; i < m->tombstone_count; i++) {
        e = tombstone_copy(x, &m->tombstones[i], &r->tombstones[i]);
        if (e) return e;
    }
    r->tombstone_count = m->tombstone_count;
    e = rules_look(x);
    if (e) return e;
    return m->copies_damaged == 1 ? damage(x, "one of the two copies in MANIFEST is damaged") : OK;
}

/* --- the log ---------------------------------------------------------------------------------- */

static enum err
segment_note(void *context, const struct wal_segment_info *info)
{
    struct dir_pass *x = context;
    struct inspect_dir *r = x->result;
    r->segments = arena_push(&r->arena, r->segments, r->segment_count, sizeof *r->segments);
    if (r->segments == NULL) return ERR_NOMEM;
    r->segments[r->segment_count++] = *info;
    if (info->state == WAL_SEGMENT_LIVE) { /* the newest is the last of these */
        bool unused = info->end_pos == info->base_pos;
        r->log_end_pos = unused ? info->prev_end_pos : info->end_pos;
    }
    if (info->state == WAL_SEGMENT_DAMAGED) {
        return remark(&r->remarks, &r->arena, REMARK_DAMAGE,
                      "log segment %016" PRIx64 " has no readable header", info->number);
    }
    return OK;
}

static enum err
log_look(struct dir_pass *x)
{
    char dir[256];
    struct why reason;
    enum err e = path_in(dir, sizeof dir, x->dir, STORAGE_LOG, x->why);
    if (e) return e;
    e = wal_segments(x->options->env, dir, x->options->memory, segment_note, x, &reason);
    if (e == ERR_MISSING && !x->result->has_log && x->result->segment_count == 0) return OK;
    if (e == ERR_MISSING && x->result->segment_count > 0) {
        x->missing = true;
        return remark(&x->result->remarks, &x->result->arena, REMARK_NOTE,
                      "the log changed during the inspection");
    }
    if (e == ERR_MISSING) return part_missing(x, reason.text);
    if (e == ERR_CORRUPT) return damage(x, reason.text);
    return e ? why_set(x->why, e, "%s", why_text(&reason, e)) : OK;
}

/* --- entries of directories ------------------------------------------------------------------- */

struct listing_pass {
    struct dir_pass *x;
    const char *below; /* the directory being listed, below the storage; "" for itself */
    char dir[256];
    uint64_t bytes; /* sum of the files' sizes */
    uint32_t dirs;
};

static enum err
sum_each(void *context, const char *name, bool is_dir)
{
    struct listing_pass *l = context;
    uint64_t bytes = 0;
    if (is_dir)
        l->dirs++;
    else if (inspect_file_bytes(l->x->options->env, l->dir, name, &bytes) == OK)
        l->bytes += bytes;
    return OK;
}

static enum err
list(struct dir_pass *x, const char *below,
     enum err (*each)(void *context, const char *name, bool is_dir), struct listing_pass *ret_pass)
{
    struct listing_pass l = {.x = x, .below = below};
    bool deeper = below[0] != '\0';
    int n = snprintf(l.dir, sizeof l.dir, "%s%s%s", x->dir, deeper ? "/" : "", below);
    if (n < 0 || (size_t)n >= sizeof l.dir) return OK; /* too deep to be ours */
    enum err e = env_listdir(x->options->env, l.dir, each, &l, x->why);
    if (ret_pass != NULL) *ret_pass = l;
    return e == ERR_MISSING ? OK : e;
}

static enum err
note_other(struct listing_pass *l, const char *name, bool is_dir)
{
    struct inspect_dir *r = l->x->result;
    struct listing_pass inner = {.bytes = 0};
    char path[256];
    uint64_t bytes = 0;
    int n = snprintf(path, sizeof path, "%s%s%s", l->below, l->below[0] == '\0' ? "" : "/", name);
    if (n < 0 || (size_t)n >= sizeof path) return OK;
    if (is_dir) {
        enum err e = list(l->x, path, sum_each, &inner);
        if (e) return e;
        bytes = inner.bytes;
    } else if (inspect_file_bytes(l->x->options->env, l->dir, name, &bytes) != OK) {
        return OK; /* it was removed */
    }
    r->others = arena_push(&r->arena, r->others, r->other_count, sizeof *r->others);
    const char *copy = arena_text(&r->arena, path);
    if (r->others == NULL || copy == NULL) return ERR_NOMEM;
    r->others[r->other_count++] = (struct inspect_file){copy, bytes};
    r->other_bytes += bytes;
    return OK;
}

static enum err
root_each(void *context, const char *name, bool is_dir)
{
    struct listing_pass *l = context;
    enum storage_entry entry = storage_entry_of(name, is_dir);
    uint64_t bytes = 0;
    if (entry == STORAGE_DIRECTORY) return OK; /* listed separately */
    if (entry != STORAGE_FILE) return note_other(l, name, is_dir);
    err_ignore(inspect_file_bytes(l->x->options->env, l->dir, name, &bytes), "it went away");
    l->x->result->small_bytes += bytes;
    return OK;
}

static enum err
parts_each(void *context, const char *name, bool is_dir)
{
    struct listing_pass *l = context;
    const struct manifest *m = &l->x->manifest;
    uint64_t number;
    if (is_dir && storage_part_of(name, &number) == STORAGE_PART) {
        for (uint32_t i = 0; i < m->part_count; i++)
            if (m->parts[i].number == number) return OK;
    }
    return note_other(l, name, is_dir);
}

static enum err
wal_each(void *context, const char *name, bool is_dir)
{
    struct listing_pass *l = context;
    uint64_t number, bytes = 0;
    bool ours = wal_segment_name(name, &number) || text_ends_with(name, ".wal.damaged") ||
                text_ends_with(name, ".tmp");
    if (is_dir || !ours) return note_other(l, name, is_dir);
    err_ignore(inspect_file_bytes(l->x->options->env, l->dir, name, &bytes), "it went away");
    l->x->result->log_bytes += bytes;
    return OK;
}

static enum err
snapshot_part_each(void *context, const char *name, bool is_dir)
{
    struct listing_pass *l = context, inner;
    char below[256];
    if (!is_dir) return OK;
    int n = snprintf(below, sizeof below, "%s/%s", l->below, name);
    if (n < 0 || (size_t)n >= sizeof below) return OK;
    enum err e = list(l->x, below, sum_each, &inner);
    if (e) return e;
    l->bytes += inner.bytes;
    l->dirs++;
    return OK;
}

static enum err
snapshots_each(void *context, const char *name, bool is_dir)
{
    struct listing_pass *l = context, inner;
    struct inspect_dir *r = l->x->result;
    char below[256];
    if (!is_dir) return note_other(l, name, is_dir);
    int n = snprintf(below, sizeof below, STORAGE_SNAPSHOTS "/%.200s/" STORAGE_PARTS, name);
    if (n < 0 || (size_t)n >= sizeof below) return OK;
    enum err e = list(l->x, below, snapshot_part_each, &inner);
    if (e) return e;
    r->snapshots = arena_push(&r->arena, r->snapshots, r->snapshot_count, sizeof *r->snapshots);
    const char *copy = arena_text(&r->arena, name);
    if (r->snapshots == NULL || copy == NULL) return ERR_NOMEM;
    r->snapshots[r->snapshot_count++] =
        (struct inspect_snapshot){copy, !text_ends_with(name, ".tmp"), inner.dirs, inner.bytes};
    return OK;
}

/* Compares files and snapshots, which begin with their names. */
static int
by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum err
dir_try(const struct inspect_options *options, const char *dir, struct page_cache *cache, bool last,
        struct inspect_dir *r, bool *ret_again, struct why *why)
{
    struct dir_pass x = {.options = options, .result = r, .dir = dir, .cache = cache, .why = why};
    enum err e = path_in(x.parts_dir, sizeof x.parts_dir, dir, STORAGE_PARTS, why);
    if (e) return e;
    struct listing_pass rules = {.bytes = 0}, pushed = {.bytes = 0};
    arena_init(&r->arena, options->memory, 0, 0);
    e = manifest_look(&x);
    for (uint32_t i = 0; i < x.manifest.part_count && e == OK; i++) {
        e = part_look(&x, &x.manifest.parts[i]);
        if (options->progress != NULL)
            options->progress(options->context, i + 1, x.manifest.part_count);
    }
    if (e == OK) e = partitions_sum(&x);
    if (e == OK) e = log_look(&x);
    if (e == OK) e = list(&x, "", root_each, NULL);
    if (e == OK) e = list(&x, STORAGE_PARTS, parts_each, NULL);
    if (e == OK) e = list(&x, STORAGE_LOG, wal_each, NULL);
    if (e == OK) e = list(&x, STORAGE_RULES, sum_each, &rules);
    if (e == OK) e = list(&x, STORAGE_PUSHED, sum_each, &pushed);
    if (e == OK) e = list(&x, STORAGE_SNAPSHOTS, snapshots_each, NULL);
    r->rules_bytes = rules.bytes + pushed.bytes;
    /* The order of a listing is not defined. */
    if (r->other_count > 0) qsort(r->others, r->other_count, sizeof *r->others, by_name);
    if (r->snapshot_count > 0)
        qsort(r->snapshots, r->snapshot_count, sizeof *r->snapshots, by_name);
    *ret_again = false;
    if (e == OK && x.missing && r->manifest_whole) { /* unless MANIFEST was edited meanwhile */
        struct manifest now;
        struct arena arena;
        arena_init(&arena, options->memory, 0, 0);
        *ret_again = manifest_read(options->env, dir, &arena, &now, NULL) == OK &&
                     now.edit != x.manifest.edit;
        arena_fini(&arena);
    }
    if (!*ret_again || !last) return e;
    *ret_again = false;
    r->remarks.damage_count = 0;
    r->remarks.count = 0;
    return remark(&r->remarks, &r->arena, REMARK_NOTE,
                  "the directory changed during every attempt to inspect it: some of the "
                  "parts and segments below no longer exist");
}

enum err
inspect_dir(const struct inspect_options *options, const char *dir, struct inspect_dir *ret_dir,
            struct why *why)
{
    struct page_cache *cache;
    struct inspect_dir r;
    struct why local;
    if (why == NULL) why = &local;
    why->text[0] = '\0';
    enum err e = page_cache_new(options->memory, INSPECT_CACHE_BYTES, &cache);
    if (e) return why_set(why, e, "not enough memory to read parts");
    bool again = true;
    for (int tries = 1; again; tries++) {
        memset(&r, 0, sizeof r);
        e = dir_try(options, dir, cache, tries == TRIES, &r, &again, why);
        if (e || again) inspect_dir_fini(&r);
    }
    page_cache_free(cache);
    if (e == OK) *ret_dir = r;
    if (e && why->text[0] == '\0') why_set(why, e, "%s", err_word(e));
    return e;
}

void
inspect_dir_fini(struct inspect_dir *dir)
{
    arena_fini(&dir->arena);
}

enum err
inspect_dir_remark(struct inspect_dir *dir, bool is_damage, const char *text)
{
    return remark(&dir->remarks, &dir->arena, is_damage ? REMARK_DAMAGE : REMARK_NOTE, "%s", text);
}
