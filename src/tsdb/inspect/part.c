/*
 * part.c - describes one part: its pages in file order, by their headers and checksums, and what
 * its root counts. The pages of a part whose root cannot be read are still described.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "model/storage_layout.h"
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
        x->options->progress(x->options->context, facts->next, x->source.file_bytes);
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

/* --- the root ----------------------------------------------------------------------- */

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
