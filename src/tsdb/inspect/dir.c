/*
 * dir.c - describes a storage directory: parts by their roots, the log by its headers, both as
 * MANIFEST lists them, and all other files. Constant work for each part.
 *
 * Beside a server, the MANIFEST may be outdated when its parts are looked for. If anything is
 * missing MANIFEST is read again, and only if it is unchanged this is damage.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text/ends.h"
#include "model/labels.h"
#include "model/storage_layout.h"
#include "tsdb/inspect/inspect_private.h"
#include "tsdb/merge/choose_parts.h"

enum { TRIES = 5 };

struct dir_pass {
    const struct inspect_options *options;
    struct inspect_dir *result;
    const char *dir;
    struct manifest manifest;
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
part_look(struct dir_pass *x, const struct manifest_part *named)
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
    e = part_open(x->options->env, x->options->memory, x->cache, x->parts_dir, named->number, &part,
                  &reason);
    if (e == OK) {
        inspect_facts(part_info(part), &p->facts);
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

/* Returns the partition of a time, or the one of all parts that span several, which it begins. */
static struct inspect_partition *
partition_find(struct inspect_dir *r, struct time_range time, bool several)
{
    for (uint32_t i = 0; i < r->partition_count; i++) {
        struct inspect_partition *p = &r->partitions[i];
        if (p->several == several && (several || p->time.min_ms == time.min_ms)) return p;
    }
    assert(r->partition_count < r->part_count); /* each has a part at least */
    struct inspect_partition *p = &r->partitions[r->partition_count++];
    *p = (struct inspect_partition){
        .time = several ? (struct time_range){INT64_MAX, INT64_MIN} : time, .several = several};
    return p;
}

static enum err
partitions_sum(struct dir_pass *x)
{
    struct inspect_dir *r = x->result;
    r->partitions = arena_new(&r->arena, (r->part_count + 1) * sizeof *r->partitions);
    if (r->partitions == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < r->part_count; i++) {
        const struct inspect_part_facts *f = &r->parts[i].facts;
        bool empty = f->time.min_ms > f->time.max_ms;
        struct time_range time = {0, 0};
        if (!empty) time = partition_of(f->time.min_ms, x->options->now_ms);
        bool several = empty || !range_holds(time, f->time);
        struct inspect_partition *p = partition_find(r, time, several);
        r->series += f->series;
        r->data_bytes += f->data_bytes;
        r->index_bytes += f->file_bytes - f->data_bytes;
        r->meta_bytes += r->parts[i].meta_bytes;
        if (several && !empty && f->time.min_ms < p->time.min_ms) p->time.min_ms = f->time.min_ms;
        if (several && !empty && f->time.max_ms > p->time.max_ms) p->time.max_ms = f->time.max_ms;
        p->parts++;
        p->data_bytes += f->data_bytes;
        p->index_bytes += f->file_bytes - f->data_bytes;
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
            p->samples[k] += f->samples[k];
            r->samples[k] += f->samples[k];
        }
    }
    if (r->partition_count > 0) {
        qsort(r->partitions, r->partition_count, sizeof *r->partitions, by_time);
    }
    return OK;
}

/* --- the manifest ----------------------------------------------------------------------------- */

static enum err
tombstone_copy(struct dir_pass *x, const struct manifest_tombstone *from,
               struct inspect_tombstone *to)
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
    *to = (struct inspect_tombstone){.id = from->id,
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
inspect_receipt_word(enum inspect_receipt_state state)
{
    static const char *const words[] = {[INSPECT_NOT_FINAL] = "not final",
                                        [INSPECT_FINAL] = "final",
                                        [INSPECT_DONE] = "done",
                                        [INSPECT_UNDONE] = "undone"};
    return words[state];
}

static enum inspect_receipt_state
receipt_state(const struct manifest *m, const struct manifest_receipt *r)
{
    bool is_done = true;
    for (uint32_t i = 0; i < m->tombstone_count; i++) {
        is_done &= m->tombstones[i].id != r->id;
    }
    if (r->undone_ms != INT64_MIN) return INSPECT_UNDONE;
    if (is_done) return INSPECT_DONE;
    return r->id > m->final_tombstone ? INSPECT_NOT_FINAL : INSPECT_FINAL;
}

static enum err
receipts_look(struct dir_pass *x)
{
    struct inspect_dir *r = x->result;
    const struct manifest *m = &x->manifest;
    r->receipts = arena_new(&r->arena, (m->receipt_count + 1) * sizeof *r->receipts);
    if (r->receipts == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < m->receipt_count; i++) {
        const struct manifest_receipt *from = &m->receipts[i];
        r->receipts[i] = (struct inspect_receipt){.id = from->id,
                                                  .state = receipt_state(m, from),
                                                  .made_ms = from->made_ms,
                                                  .undone_ms = from->undone_ms,
                                                  .range = from->range,
                                                  .tenant = from->tenant,
                                                  .selector = from->selector,
                                                  .series = from->series,
                                                  .samples = from->samples,
                                                  .windows = from->windows};
    }
    r->receipt_count = m->receipt_count;
    return OK;
}

static enum err
rules_look(struct dir_pass *x)
{
    struct inspect_dir *r = x->result;
    const struct manifest *m = &x->manifest;
    size_t count = m->removal_count + m->rolled_count;
    r->rules = arena_new(&r->arena, (count + 1) * sizeof *r->rules);
    if (r->rules == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < m->removal_count; i++) {
        const struct manifest_removal *from = &m->removals[i];
        const uint64_t *removed = from->count;
        r->rules[r->rule_count++] =
            (struct inspect_rule){.match = from->match,
                                  .tenants = from->tenants,
                                  .samples = removed[LEDGER_FLOAT] + removed[LEDGER_HISTOGRAM],
                                  .exemplars = removed[LEDGER_EXEMPLAR],
                                  .series = from->series,
                                  .bytes = from->bytes};
    }
    for (uint32_t i = 0; i < m->rolled_count; i++) {
        const struct manifest_rolled *from = &m->rolled[i];
        const uint64_t *replaced = from->samples;
        r->rules[r->rule_count++] =
            (struct inspect_rule){.match = from->match,
                                  .tenants = from->tenants,
                                  .resolution_ms = from->resolution_ms,
                                  .samples = replaced[LEDGER_FLOAT] + replaced[LEDGER_HISTOGRAM],
                                  .windows = from->windows,
                                  .bytes = from->bytes};
    }
    return OK;
}

static enum err
manifest_look(struct dir_pass *x)
{
    struct inspect_dir *r = x->result;
    struct why reason;
    enum err e = format_check(x->options->env, x->dir, &reason);
    if (e == ERR_CORRUPT || e == ERR_MISSING) {
        e = damage(x, reason.text);
    } else if (e == OK) {
        e = format_read(x->options->env, x->dir, &r->version, &r->min_reader, &reason);
    }
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
    r->tenants = arena_new(&r->arena, (m->tenant_count + 1) * sizeof *r->tenants);
    r->tombstones = arena_new(&r->arena, (m->tombstone_count + 1) * sizeof *r->tombstones);
    if (r->tenants == NULL || r->tombstones == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < m->tenant_count; i++) {
        r->tenants[i] = (struct inspect_tenant){m->tenants[i].name, m->tenants[i].totals};
    }
    r->tenant_count = m->tenant_count;
    for (uint32_t i = 0; i < m->tombstone_count; i++) {
        e = tombstone_copy(x, &m->tombstones[i], &r->tombstones[i]);
        if (e) return e;
    }
    r->tombstone_count = m->tombstone_count;
    e = receipts_look(x);
    if (e == OK) e = rules_look(x);
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

static enum err list(struct dir_pass *x, const char *below,
                     enum err (*each)(void *context, const char *name, bool is_dir),
                     struct listing_pass *ret_pass);

static enum err
sum_each(void *context, const char *name, bool is_dir)
{
    struct listing_pass *l = context;
    uint64_t bytes = 0;
    if (is_dir) {
        l->dirs++;
    } else if (inspect_file_bytes(l->x->options->env, l->dir, name, &bytes) == OK) {
        l->bytes += bytes;
    }
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
        for (uint32_t i = 0; i < m->part_count; i++) {
            if (m->parts[i].number == number) return OK;
        }
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

/* --- the directory ---------------------------------------------------------------------------- */

static int
by_path(const void *a, const void *b)
{
    return strcmp(((const struct inspect_file *)a)->path, ((const struct inspect_file *)b)->path);
}

static int
by_name(const void *a, const void *b)
{
    const struct inspect_snapshot *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static enum err
dir_look(struct dir_pass *x)
{
    struct inspect_dir *r = x->result;
    struct listing_pass rules = {.bytes = 0};
    enum err e = manifest_look(x);
    for (uint32_t i = 0; i < x->manifest.part_count && e == OK; i++) {
        e = part_look(x, &x->manifest.parts[i]);
        if (x->options->progress != NULL) {
            x->options->progress(x->options->context, i + 1, x->manifest.part_count);
        }
    }
    if (e == OK) e = partitions_sum(x);
    if (e == OK) e = log_look(x);
    if (e == OK) e = list(x, "", root_each, NULL);
    if (e == OK) e = list(x, STORAGE_PARTS, parts_each, NULL);
    if (e == OK) e = list(x, STORAGE_LOG, wal_each, NULL);
    if (e == OK) e = list(x, STORAGE_RULES, sum_each, &rules);
    if (e == OK) e = list(x, STORAGE_SNAPSHOTS, snapshots_each, NULL);
    r->rules_bytes = rules.bytes;
    /* The order of a listing is not defined. */
    if (r->other_count > 0) qsort(r->others, r->other_count, sizeof *r->others, by_path);
    if (r->snapshot_count > 0) {
        qsort(r->snapshots, r->snapshot_count, sizeof *r->snapshots, by_name);
    }
    return e;
}

static enum err
dir_try(const struct inspect_options *options, const char *dir, struct page_cache *cache, bool last,
        struct inspect_dir *r, bool *ret_again, struct why *why)
{
    struct dir_pass x = {.options = options, .result = r, .dir = dir, .cache = cache, .why = why};
    enum err e = path_in(x.parts_dir, sizeof x.parts_dir, dir, STORAGE_PARTS, why);
    if (e) return e;
    arena_init(&r->arena, options->memory, 0, 0);
    e = dir_look(&x);
    *ret_again = e == OK && x.missing && r->manifest_whole &&
                 inspect_is_edited(options, dir, x.manifest.edit);
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
