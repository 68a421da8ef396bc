/*
 * part.c - describes one part: first its pages in file order, by their headers and checksums; then
 * their content, tenant by tenant, in the order of the part. Both passes keep a page or two in
 * memory. The pages of a part whose root cannot be read are still described.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "model/storage_layout.h"
#include "tsdb/codec/rollups.h"
#include "tsdb/inspect/inspect_private.h"

/* --- pages ------------------------------------------------------------------------------------ */

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
    if (x->options->progress != NULL) {
        x->options->progress(x->options->context, facts->next, 2 * x->source.file_bytes);
    }
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

/* --- contents of a part ----------------------------------------------------------------------- */

void
inspect_facts(const struct part_info *info, struct inspect_part_facts *ret)
{
    *ret = (struct inspect_part_facts){
        .number = info->number,
        .from_pos = info->from_pos,
        .to_pos = info->to_pos,
        .time = {info->min_ms, info->max_ms},
        .series = info->series_count,
        .pairs = info->pair_count,
        .blocks = info->block_count,
        .file_bytes = info->file_bytes,
        .data_bytes = info->data_bytes,
    };
    memcpy(ret->samples, info->sample_count, sizeof ret->samples);
    _Static_assert(sizeof ret->resolutions == sizeof info->resolutions, "all fit");
    memcpy(ret->resolutions, info->resolutions, sizeof ret->resolutions);
    ret->resolution_count = info->resolution_count;
}

const char *
inspect_rollup_column_word(unsigned column)
{
    _Static_assert((int)INSPECT_ROLLUP_COLUMNS == (int)CODEC_ROLLUP_COLUMNS, "each has a word");
    return codec_rollups_column_word(column);
}

struct exemplar_pass {
    struct inspect_part *result;
    uint32_t last_plus_1;
};

static enum err
exemplar_count(void *context, uint32_t series, const struct exemplar *exemplar)
{
    struct exemplar_pass *x = context;
    (void)exemplar;
    x->result->exemplars++;
    if (series + 1 != x->last_plus_1) x->result->exemplar_series++;
    x->last_plus_1 = series + 1;
    return OK;
}

static enum err
family_count(void *context, const struct metadata *metadata)
{
    struct inspect_part *r = context;
    (void)metadata;
    r->families++;
    return OK;
}

/* Remarks counts of the root that differ from the rows, unless damage explains them. */
static enum err
compare(struct inspect_part *r, const uint64_t *counted)
{
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        if (counted[k] == r->facts.samples[k] || r->remarks.damage_count > 0) continue;
        return remark(&r->remarks, &r->arena, REMARK_DAMAGE,
                      "holds %" PRIu64 " %s samples, but its root counts %" PRIu64, counted[k],
                      ledger_kind_word((enum ledger_kind)k), r->facts.samples[k]);
    }
    return OK;
}

static enum err
part_content(const struct inspect_options *options, struct part *part, struct inspect_part *r,
             struct why *why)
{
    struct exemplar_pass exemplars = {.result = r};
    uint64_t counted[LEDGER_KIND_COUNT] = {0};
    struct why reason = {""};
    enum err e = inspect_rows(options, part, r, counted, why);
    if (e) return e;
    e = part_exemplars(part, 0, exemplar_count, &exemplars, &reason);
    counted[LEDGER_EXEMPLAR] = r->exemplars;
    e = remark_if_damage(&r->remarks, &r->arena, e, &reason);
    for (uint32_t i = 0; i < part_tenant_count(part) && e == OK; i++) {
        e = part_metadata(part, part_tenant_at(part, i), family_count, r, &reason);
        e = remark_if_damage(&r->remarks, &r->arena, e, &reason);
    }
    if (e == OK) e = compare(r, counted);
    if (e) why_set(why, e, "%s", reason.text);
    return e;
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
    inspect_facts(part_info(part), &r->facts);
    e = part_content(options, part, r, why);
    part_unref(part);
    return e;
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
