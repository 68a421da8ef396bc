/* log.c - describes one segment of the log: wal_inspect(), with its payloads counted. */
#include <inttypes.h>
#include <stdio.h>

#include "tsdb/inspect/inspect_private.h"

/* Histogram of the sizes of commits, for their median: 32 steps for each doubling, so a step spans
 * at most 3 % of its sizes. */
enum { STEPS = 32, STEP_BITS = 5, DOUBLINGS = 40 };

struct sizes {
    uint64_t counts[DOUBLINGS][STEPS];
    uint64_t count;
};

static void
sizes_add(struct sizes *s, uint64_t size)
{
    unsigned bits = 63 - (unsigned)__builtin_clzll(size | STEPS);
    unsigned row = bits - STEP_BITS < DOUBLINGS ? bits - STEP_BITS : DOUBLINGS - 1;
    s->counts[row][(size >> row) % STEPS]++;
    s->count++;
}

/* Returns the least size of the step that holds the median. Row r holds sizes from 2^(r + 5) on;
 * row 0 also smaller ones. */
static uint64_t
sizes_median(const struct sizes *s)
{
    uint64_t seen = 0;
    for (unsigned row = 0; row < DOUBLINGS; row++) {
        for (unsigned step = 0; step < STEPS; step++) {
            seen += s->counts[row][step];
            if (2 * seen >= s->count && s->count > 0) {
                return ((uint64_t)STEPS + step) << row;
            }
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
    e = remark_if_damage(&x->result->remarks, &x->result->arena, e, &why);
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
    sizes_add(x->sizes, c->bytes);
    if (r->commits++ == 0) r->first_commit_ms = c->realtime_ms;
    r->last_commit_ms = c->realtime_ms;
    if (c->bytes > r->commit_bytes_max) r->commit_bytes_max = c->bytes;
    if (c->record_count > r->commit_records_max) r->commit_records_max = c->record_count;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        r->accepted[k] += c->accepted[k];
    }
    x->done_bytes += c->bytes;
    if (x->options->progress != NULL) {
        x->options->progress(x->options->context, x->done_bytes, 0);
    }
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
    if (r->log.segment.state == WAL_SEGMENT_DAMAGED) {
        e = remark(&r->remarks, &r->arena, REMARK_DAMAGE, "both copies of its header are damaged");
    }
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
segment_walk(const struct inspect_options *options, const struct inspect_target *target,
             struct log_pass *x, struct why *why)
{
    struct inspect_segment *r = x->result;
    struct wal_inspector inspector = {
        .commit = note_commit, .record = note_record, .damage = note_damage, .context = x};
    enum err e = wal_inspect(options->env, target->dir, target->number, options->memory, &inspector,
                             &r->log, why);
    if (e == OK) e = x->failed;
    if (e == OK) e = segment_state_remarks(options, target, r, why);
    if (e) return e;
    r->commit_bytes_p50 = sizes_median(x->sizes);
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

static enum err
segment_try(const struct inspect_options *options, const struct inspect_target *target,
            struct inspect_segment *r, struct why *why)
{
    struct log_pass x = {.options = options, .result = r};
    memset(r, 0, sizeof *r);
    r->samples = (struct time_range){INT64_MAX, INT64_MIN};
    x.sizes = mem_new(options->memory, sizeof *x.sizes);
    arena_init(&r->arena, options->memory, 0, 0);
    arena_init(&x.scratch, options->memory, 0, 0);
    enum err e = x.sizes == NULL ? ERR_NOMEM : segment_walk(options, target, &x, why);
    arena_fini(&x.scratch);
    mem_free(options->memory, x.sizes, sizeof *x.sizes);
    return e;
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
