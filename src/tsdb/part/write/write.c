/*
 * write.c - writes a part front to back. Blocks and time columns are written as their pages fill,
 * rows point at them; postings, which belong to a whole tenant, are made when its rows are
 * complete.
 *
 *     write_blocks.c      samples become blocks in pages of values and times
 *     write_rows.c        rows wait for the offsets of those pages
 *     write_postings.c    the series of each pair
 *     write.c             tenants, and the file
 *
 * Invariants:
 *  1. Tenants come in the order of names; in a tenant, pairs, series, the samples of a series and
 *     exemplars come in order. Callers guarantee that, since readers rely on it.
 *  2. The offsets in a directory ascend, and so do the numbers of rows.
 *  3. When a tenant is complete, every series has a row, no row waits for the offset of a page, and
 *     row_pairs has the pairs of all rows.
 *  4. At most CODEC_SAMPLES_MAX samples wait to become blocks; all are of one kind.
 *  5. The table of time columns has a free slot.
 *  6. After part_writer_finish() nothing is written.
 */
#include "base/array.h"
#include "model/storage_layout.h"
#include "tsdb/part/write/writer.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* Writes label values, exemplars and metadata. Invariants are in write.c. */

/* --- labels ----------------------------------------------------------------------------------- */

/* Write the page of their kind that is being filled, unless it is empty, and add it to its
 * directory. */
static MUST_CHECK enum err
values_page_out(struct part_writer *w, struct why *why)
{
    if (w->page_values == 0) return OK;
    struct buf *to = &w->label_values.payload;
    buf_put_bytes(to, buf_bytes(&w->restarts));
    buf_put_le32(to, (uint32_t)(w->restarts.size / 4));
    if (buf_error(&w->restarts)) return buf_error(&w->restarts);
    uint64_t offset;
    enum err e = part_filling_flush(w, &w->label_values, &offset, why);
    if (e) return e;
    uint32_t next = w->tenant.first_pair + w->tenant.pair_count;
    part_directory_add(&w->values_dir, next - w->page_values, offset);
    buf_put_counted(&w->values_dir.entries, buf_bytes(&w->separator));
    buf_clear(&w->restarts);
    w->page_values = 0;
    return buf_error(&w->separator);
}

/* Ends the label name whose pairs are being written, if it has any. ERR_NOMEM. */
static MUST_CHECK enum err
name_end(struct part_writer *w)
{
    if (w->name_pairs == 0) return OK;
    buf_put_counted(&w->names, buf_bytes(&w->last_name));
    buf_put_varint(&w->names, w->name_pairs);
    w->name_count++;
    w->name_pairs = 0;
    return buf_error(&w->names);
}

static uint32_t
shared_prefix(struct bytes a, struct bytes b)
{
    size_t most = a.size < b.size ? a.size : b.size, n = 0;
    while (n < most && a.at[n] == b.at[n])
        n++;
    return (uint32_t)n;
}

enum err
part_write_pair(struct part_writer *w, struct label label, struct why *why)
{
    enum err e = OK;
    bool new_name = w->name_pairs == 0 || !bytes_equal(buf_bytes(&w->last_name), label.name);
    if (w->info.pair_count + w->tenant.pair_count >= UINT32_MAX - 1) e = ERR_LIMIT;
    assert(w->name_pairs == 0 || !new_name ||
           bytes_compare(buf_bytes(&w->last_name), label.name) < 0);               /* invariant 1 */
    assert(new_name || bytes_compare(buf_bytes(&w->last_value), label.value) < 0); /* invariant 1 */
    assert(w->tenant.series_count == 0); /* series name pairs that are written */
    if (e == OK && new_name) e = name_end(w);
    if (e == OK && part_filling_full(w, &w->label_values, label.value.size + w->restarts.size))
        e = values_page_out(w, why);
    if (e) return part_write_error(w, e, why);
    if (new_name) {
        buf_clear(&w->last_name);
        buf_put_bytes(&w->last_name, label.name);
    }
    if (w->page_values == 0) {
        /* The shortest text that is above the last value and not above this one; "" if the page
         * begins with the first value of a name. */
        size_t size = new_name ? 0 : shared_prefix(buf_bytes(&w->last_value), label.value) + 1u;
        buf_clear(&w->separator);
        buf_put_bytes(&w->separator, bytes_of(label.value.at, size));
    }
    struct buf *to = &w->label_values.payload;
    bool restart = w->page_values % LABEL_RESTART == 0;
    if (restart) buf_put_le32(&w->restarts, (uint32_t)to->size);
    uint32_t shared =
        restart || new_name ? 0 : shared_prefix(buf_bytes(&w->last_value), label.value);
    buf_put_varint(to, shared);
    buf_put_counted(to, bytes_of(label.value.at + shared, label.value.size - shared));
    buf_clear(&w->last_value);
    buf_put_bytes(&w->last_value, label.value);
    w->page_values++;
    w->name_pairs++;
    w->tenant.pair_count++;
    e = err_first(buf_error(to), buf_error(&w->last_value));
    e = err_first(e, buf_error(&w->restarts));
    return part_write_error(w, err_first(e, buf_error(&w->last_name)), why);
}

/* --- exemplars and metadata ------------------------------------------------------------------- */

static MUST_CHECK enum err
exemplars_page_out(struct part_writer *w, struct why *why)
{
    if (w->exemplars.payload.size == 0) return OK;
    uint64_t offset;
    enum err e = part_filling_flush(w, &w->exemplars, &offset, why);
    if (e) return e;
    part_directory_add(&w->exemplars_dir, w->exemplars_first, offset);
    return OK;
}

enum err
part_write_exemplar(struct part_writer *w, uint32_t series, int64_t t_ms, uint64_t bits,
                    struct bytes labels, struct why *why)
{
    enum err e = part_series_end(w, why);
    assert(series < w->tenant.series_count);
    uint32_t number = w->tenant.first_series + series;

    struct buf *to = &w->exemplars.payload;
    if (e == OK && part_filling_full(w, &w->exemplars, labels.size + 32))
        e = exemplars_page_out(w, why);
    if (e) return part_write_error(w, e, why);
    if (to->size == 0) {
        w->exemplars_first = number; /* the directory names the first series of each page */
        w->exemplars_last = 0;
    }
    buf_put_varint(to, number - w->exemplars_last);
    buf_put_zigzag(to, t_ms);
    buf_put_le64(to, bits);
    buf_put_counted(to, labels);
    w->exemplars_last = number;
    w->tenant.sample_count[LEDGER_EXEMPLAR]++;
    if (t_ms < w->info.time.min_ms) w->info.time.min_ms = t_ms;
    if (t_ms > w->info.time.max_ms) w->info.time.max_ms = t_ms;
    return part_write_error(w, buf_error(to), why);
}

static MUST_CHECK enum err
stale_page_out(struct part_writer *w, struct why *why)
{
    if (w->stale.payload.size == 0) return OK;
    uint64_t offset;
    enum err e = part_filling_flush(w, &w->stale, &offset, why);
    if (e) return e;
    part_directory_add(&w->stale_dir, w->stale_first, offset);
    return OK;
}

enum err
part_stale_put(struct part_writer *w, uint32_t number, uint32_t block, const struct block_ref *ref,
               struct why *why)
{
    assert(!ref->has_stats || ref->stats.number_count <= ref->count);
    uint32_t count = ref->has_stats ? ref->count - ref->stats.number_count : 0;
    if (ref->has_stats && count == 0) return OK;
    struct buf *to = &w->stale.payload;
    if (part_filling_full(w, &w->stale, 3 * VARINT_SIZE_MAX)) {
        enum err e = stale_page_out(w, why);
        if (e) return e;
    }
    if (to->size == 0) {
        w->stale_first = number;
        w->stale_last = 0;
    }
    buf_put_varint(to, number - w->stale_last);
    buf_put_varint(to, block);
    buf_put_varint(to, count);
    w->stale_last = number;
    return buf_error(to);
}

enum err
part_write_metadata(struct part_writer *w, const struct metadata *m, struct why *why)
{
    enum err e = part_series_end(w, why);
    if (e) return part_write_error(w, e, why);
    buf_put_counted(&w->metadata, m->family);
    buf_put_u8(&w->metadata, (uint8_t)m->type);
    buf_put_counted(&w->metadata, m->help);
    buf_put_counted(&w->metadata, m->unit);
    w->metadata_count++;
    return part_write_error(w, buf_error(&w->metadata), why);
}

enum err
part_write_error(const struct part_writer *w, enum err e, struct why *why)
{
    if (e == ERR_NOMEM) why_set(why, e, "%s: not enough memory to write the part", w->dir);
    if (e == ERR_LIMIT) why_set(why, e, "%s: an item is too large for a part", w->dir);
    return e;
}

/* --- pages and directories -------------------------------------------------------------------- */

static void
filling_init(struct part_writer *w, struct page_filling *f, enum page_kind kind)
{
    f->kind = kind;
    buf_init(&f->payload, w->budget, PAGE_BYTES_MAX);
}

void
part_directory_add(struct directory_writer *d, uint32_t number, uint64_t offset)
{
    assert(d->count == 0 || offset > d->last_offset); /* invariant 2 */
    buf_put_varint(&d->entries, number - d->last_number);
    buf_put_varint(&d->entries, offset - d->last_offset);
    d->last_number = number;
    d->last_offset = offset;
    d->count++;
}

enum err
part_filling_flush(struct part_writer *w, struct page_filling *f, uint64_t *ret_offset,
                   struct why *why)
{
    if (buf_error(&f->payload)) return buf_error(&f->payload);
    enum err e = page_write(&w->pages, f->kind, buf_bytes(&f->payload), ret_offset, why);
    buf_clear(&f->payload);
    return e;
}

bool
part_filling_full(const struct part_writer *w, const struct page_filling *f, size_t size)
{
    return f->payload.size > 0 && f->payload.size + size > w->page_bytes;
}

/* --- tenants ---------------------------------------------------------------------------------- */

/* Writes a counted list as a page. It may be long, so it is moved to make room for the count. */
static enum err
list_page(struct part_writer *w, enum page_kind kind, uint32_t count, struct buf *items,
          uint64_t *ret_offset, struct why *why)
{
    uint8_t head[VARINT_SIZE_MAX];
    size_t size = varint_put(head, count);
    if (!buf_reserve(items, size) || buf_error(items)) return buf_error(items);
    if (items->size > 0) memmove(items->at + size, items->at, items->size);
    memcpy(items->at, head, size);
    items->size += size;
    enum err e = page_write(&w->pages, kind, buf_bytes(items), ret_offset, why);
    buf_clear(items);
    return e;
}

static void
put_tenant(struct part_writer *w)
{
    const struct part_tenant *t = &w->tenant;
    struct buf *to = &w->tenants;
    buf_put_counted(to, t->name);
    buf_put_varint(to, t->series_count);
    buf_put_varint(to, t->pair_count);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        buf_put_varint(to, t->sample_count[k]);
        w->info.sample_count[k] += t->sample_count[k];
    }
    buf_put_varint(to, t->names_page);
    buf_put_varint(to, t->names_at);
    buf_put_varint(to, t->metadata_page);
    buf_put_varint(to, t->metadata_at);
    buf_put_varint(&w->rollup_row_counts, t->rollup_rows);
    w->info.rollup_rows += t->rollup_rows;
    w->tenant_count++;
}

static enum err
tenant_end(struct part_writer *w, struct why *why)
{
    struct part_tenant *t = &w->tenant;
    if (t->name.at == NULL) return OK;
    enum err e = part_series_end(w, why);
    if (e == OK) e = part_waiting_out(w, why);
    if (e == OK) e = part_rows_page_out(w, why);
    assert(e || w->waiting.size == 0);                                      /* invariant 3 */
    assert(e || w->rows_written == w->info.series_count + t->series_count); /* invariant 3 */
    assert(e || w->row_pairs.row_count == t->series_count);                 /* invariant 3 */
    if (e == OK) e = name_end(w);
    if (e == OK) e = values_page_out(w, why);
    if (e == OK) e = part_postings_out(w, why);
    if (e == OK) e = exemplars_page_out(w, why);
    if (e == OK) e = list_page(w, PAGE_NAMES, w->name_count, &w->names, &t->names_page, why);
    if (e == OK && w->metadata_count > 0)
        e = list_page(w, PAGE_METADATA, w->metadata_count, &w->metadata, &t->metadata_page, why);
    if (e) return e;
    put_tenant(w);
    w->info.series_count += t->series_count;
    w->info.pair_count += t->pair_count;
    mem_free(w->budget, (void *)(uintptr_t)t->name.at, t->name.size);
    t->name = (struct bytes){NULL, 0};
    return err_first(buf_error(&w->tenants), buf_error(&w->rollup_row_counts));
}

enum err
part_write_tenant(struct part_writer *w, struct bytes name, struct why *why)
{
    assert(!w->finished);                                                         /* invariant 6 */
    assert(w->tenant.name.at == NULL || bytes_compare(w->tenant.name, name) < 0); /* invariant 1 */
    enum err e = tenant_end(w, why);
    if (e) return part_write_error(w, e, why);
    uint8_t *copy = mem_alloc(w->budget, name.size);
    if (copy == NULL) return part_write_error(w, ERR_NOMEM, why);
    memcpy(copy, name.at, name.size);
    w->tenant = (struct part_tenant){
        .name = {copy, name.size},
        .first_series = (uint32_t)w->info.series_count,
        .first_pair = (uint32_t)w->info.pair_count,
    };
    w->name_count = w->name_pairs = w->metadata_count = 0;
    return part_write_error(w, part_columns_clear(w), why);
}

/* --- the file --------------------------------------------------------------------------------- */

enum { OWN_BUFFERS = 25 };

/* Lists the buffers that are not the payload of a page. */
static void
own_buffers(struct part_writer *w, struct buf *ret_all[OWN_BUFFERS])
{
    struct buf *all[OWN_BUFFERS] = {
        &w->tenants,
        &w->rollup_row_counts,
        &w->names,
        &w->last_name,
        &w->last_value,
        &w->restarts,
        &w->separator,
        &w->metadata,
        &w->blocks,
        &w->encoded,
        &w->first_times,
        &w->waiting,
        &w->times_offsets,
        &w->values_offsets,
        &w->rows_dir.entries,
        &w->values_dir.entries,
        &w->postings_dir.entries,
        &w->exemplars_dir.entries,
        &w->stale_dir.entries,
        &w->rows.pairs,
        &w->rows.stretch_pairs,
        &w->rows.listed,
        &w->rows.values_pages,
        &w->rows.times_offsets,
        &w->rows.time_columns,
    };
    memcpy(ret_all, all, sizeof all);
}

static enum err
writer_begin_file(struct part_writer *w, struct why *why)
{
    char path[256];
    uint8_t header[PART_END_BYTES] = {0};
    enum err e = env_remove_tree(w->env, w->dir, NULL);
    if (e) why_set(why, e, "%s: cannot remove what an earlier attempt left", w->dir);
    w->begun = e == OK;
    if (e == OK) e = env_mkdir(w->env, w->dir, why);
    if (e == OK) e = path_join(path, sizeof path, w->dir, "part");
    if (e == OK) e = page_writer_open(&w->pages, w->env, w->budget, path, w->info.number, why);
    if (e) return e;
    /* Rollups are not known yet: the footer has the version that counts. */
    part_end_pack(header, PART_HEADER_MAGIC, false, w->info.number, 0, 0, 0);
    return page_write_raw(&w->pages, bytes_of(header, sizeof header), why);
}

enum err
part_writer_new(struct env *env, struct budget *budget, const char *parts_dir, uint64_t number,
                uint64_t from_pos, uint64_t to_pos, struct part_writer **ret_writer,
                struct why *why)
{
    struct part_writer *w = mem_new(budget, sizeof *w);
    if (w == NULL) return why_set(why, ERR_NOMEM, "not enough memory to write a part");
    w->env = env;
    w->budget = budget;
    w->pages.file = FILE_CLOSED;
    w->page_bytes = PAGE_BYTES_SOON;
    w->memory_bytes = PART_WRITER_MEMORY;
    w->info = (struct part_info){
        .number = number,
        .level = 1,
        .from_pos = from_pos,
        .to_pos = to_pos,
        .time = {INT64_MAX, INT64_MIN},
    };
    struct buf *all[OWN_BUFFERS];
    own_buffers(w, all);
    for (unsigned i = 0; i < OWN_BUFFERS; i++)
        buf_init(all[i], w->budget, (size_t)1 << 32);
    part_pairs_init(w);
    filling_init(w, &w->times, PAGE_TIMES);
    filling_init(w, &w->values, PAGE_VALUES);
    filling_init(w, &w->rows.page, PAGE_ROWS);
    for (unsigned i = 0; i < ROW_COLUMN_COUNT; i++)
        buf_init(&w->rows.columns[i], w->budget, PAGE_BYTES_MAX);
    filling_init(w, &w->label_values, PAGE_LABEL_VALUES);
    filling_init(w, &w->postings, PAGE_POSTINGS);
    filling_init(w, &w->exemplars, PAGE_EXEMPLARS);
    filling_init(w, &w->stale, PAGE_DIRECTORY); /* a kind that version 1 knows */
    arena_init(&w->histogram_arena, budget, 0, 0);
    enum err e = storage_part_path(w->dir, sizeof w->dir, parts_dir, number, STORAGE_PART);
    if (e == OK &&
        (size_t)snprintf(w->parts_dir, sizeof w->parts_dir, "%s", parts_dir) >= sizeof w->parts_dir)
        e = ERR_LIMIT;
    if (e == OK) {
        e = env_random(env, &w->seed, sizeof w->seed);
        if (e) why_set(why, e, "cannot get random bytes to write a part");
    }
    w->sample_times = mem_alloc(w->budget, CODEC_SAMPLES_MAX * sizeof *w->sample_times);
    w->sample_bits = mem_alloc(w->budget, CODEC_SAMPLES_MAX * sizeof *w->sample_bits);
    w->sample_starts = mem_alloc(w->budget, CODEC_SAMPLES_MAX * sizeof *w->sample_starts);
    bool room = w->sample_times != NULL && w->sample_bits != NULL && w->sample_starts != NULL;
    if (e == OK) e = room ? part_columns_begin(w) : ERR_NOMEM;
    if (e == OK) e = codec_scratch_new(w->budget, &w->scratch);
    if (e == OK) e = writer_begin_file(w, why);
    if (e) {
        part_write_error(w, e, why);
        part_writer_free(w);
        return e;
    }
    *ret_writer = w;
    return OK;
}

void
part_writer_set_level(struct part_writer *w, int level)
{
    assert(level >= 0 && level <= UINT8_MAX);
    w->info.level = (uint8_t)level;
    w->pages.level = level;
    w->page_bytes = level >= PART_LEVEL_LAST ? PAGE_BYTES_LAST : PAGE_BYTES_SOON;
}

void
part_writer_set_memory(struct part_writer *w, size_t bytes)
{
    w->memory_bytes = bytes > PART_WRITER_MEMORY_MIN ? bytes : PART_WRITER_MEMORY_MIN;
}

void
part_writer_free(struct part_writer *w)
{
    if (w == NULL) return;
    page_writer_fini(&w->pages);
    if (w->begun && !w->finished) {
        /* Half a part may be what fills the disk. */
        err_ignore(env_remove_tree(w->env, w->dir, NULL),
                   "the next attempt, or a start, sweeps it");
    }
    struct buf *all[OWN_BUFFERS];
    own_buffers(w, all);
    for (unsigned i = 0; i < OWN_BUFFERS; i++)
        buf_fini(all[i]);
    buf_fini(&w->times.payload);
    buf_fini(&w->values.payload);
    buf_fini(&w->rows.page.payload);
    buf_fini(&w->label_values.payload);
    buf_fini(&w->postings.payload);
    buf_fini(&w->exemplars.payload);
    buf_fini(&w->stale.payload);
    part_pairs_fini(w);
    for (unsigned i = 0; i < ROW_COLUMN_COUNT; i++)
        buf_fini(&w->rows.columns[i]);
    mem_free(w->budget, w->rows.slots, w->rows.slot_count * sizeof *w->rows.slots);
    mem_free(w->budget, (void *)(uintptr_t)w->tenant.name.at, w->tenant.name.size);
    mem_free(w->budget, w->sample_times, CODEC_SAMPLES_MAX * sizeof *w->sample_times);
    mem_free(w->budget, w->sample_bits, CODEC_SAMPLES_MAX * sizeof *w->sample_bits);
    mem_free(w->budget, w->sample_starts, CODEC_SAMPLES_MAX * sizeof *w->sample_starts);
    array_free(w->budget, w->sample_histograms, w->histogram_capacity);
    mem_free(w->budget, w->columns, w->column_capacity * sizeof *w->columns);
    codec_scratch_free(w->scratch);
    arena_fini(&w->histogram_arena);
    mem_free(w->budget, w, sizeof *w);
}

/* Writes a directory; a short one goes into the root. */
static enum err
directory_out(struct part_writer *w, struct directory_writer *d, uint64_t *ret_offset,
              struct why *why)
{
    *ret_offset = 0;
    if (d->count == 0) return OK;
    *ret_offset = DIRECTORY_IN_ROOT;
    if (d->entries.size <= DIRECTORY_ROOT_BYTES) return buf_error(&d->entries);
    return list_page(w, PAGE_DIRECTORY, d->count, &d->entries, ret_offset, why);
}

static void
put_directory(struct buf *to, const struct directory_writer *d, uint64_t offset)
{
    buf_put_varint(to, offset);
    if (offset != DIRECTORY_IN_ROOT) return;
    buf_put_varint(to, varint_size(d->count) + d->entries.size);
    buf_put_varint(to, d->count);
    buf_put_bytes(to, buf_bytes(&d->entries));
}

static enum err
root_out(struct part_writer *w, uint64_t *ret_offset, struct why *why)
{
    uint64_t rows, values, postings, exemplars, stale;
    enum err e = stale_page_out(w, why);
    if (e == OK) e = directory_out(w, &w->rows_dir, &rows, why);
    if (e == OK) e = directory_out(w, &w->values_dir, &values, why);
    if (e == OK) e = directory_out(w, &w->postings_dir, &postings, why);
    if (e == OK) e = directory_out(w, &w->exemplars_dir, &exemplars, why);
    if (e == OK) e = directory_out(w, &w->stale_dir, &stale, why);
    if (e) return e;
    struct buf *to = &w->encoded;
    buf_clear(to);
    buf_put_le64(to, w->info.from_pos);
    buf_put_le64(to, w->info.to_pos);
    buf_put_zigzag(to, w->info.time.min_ms);
    buf_put_zigzag(to, w->info.time.max_ms);
    buf_put_varint(to, w->info.series_count);
    buf_put_varint(to, w->info.pair_count);
    buf_put_varint(to, w->info.block_count);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        buf_put_varint(to, w->info.sample_count[k]);
    buf_put_varint(to, w->info.level);
    put_directory(to, &w->rows_dir, rows);
    put_directory(to, &w->values_dir, values);
    put_directory(to, &w->postings_dir, postings);
    put_directory(to, &w->exemplars_dir, exemplars);
    buf_put_varint(to, w->tenant_count);
    buf_put_bytes(to, buf_bytes(&w->tenants));
    put_directory(to, &w->stale_dir, stale); /* from here on what version 1 passes over */
    if (w->info.rollup_rows > 0) {
        buf_put_varint(to, w->info.resolution_count);
        for (uint32_t i = 0; i < w->info.resolution_count; i++) {
            const struct rollup_facts *r = &w->info.resolutions[i];
            buf_put_varint(to, (uint64_t)r->resolution_ms);
            buf_put_varint(to, r->rows);
            buf_put_varint(to, r->bytes);
            buf_put_zigzag(to, r->time.min_ms);
            buf_put_zigzag(to, r->time.max_ms);
        }
        buf_put_varint(to, w->info.histogram_rollup_rows);
        buf_put_bytes(to, buf_bytes(&w->rollup_row_counts));
    }
    if (buf_error(to)) return buf_error(to);
    return page_write(&w->pages, PAGE_ROOT, buf_bytes(to), ret_offset, why);
}

enum err
part_writer_finish(struct part_writer *w, struct part_info *ret_info, struct why *why)
{
    uint64_t root;
    uint8_t footer[PART_END_BYTES] = {0};
    assert(!w->finished); /* invariant 6 */
    enum err e = tenant_end(w, why);
    assert(e || !w->in_series);
    if (e == OK) e = part_pairs_end(w, why);
    if (e == OK) e = root_out(w, &root, why);
    if (e) return part_write_error(w, e, why);
    w->info.file_bytes = page_writer_offset(&w->pages) + PART_END_BYTES;
    w->info.data_bytes = w->pages.payload_bytes[PAGE_TIMES] + w->pages.payload_bytes[PAGE_VALUES] +
                         w->pages.payload_bytes[PAGE_EXEMPLARS];
    bool has_rollups = w->info.rollup_rows > 0;
    part_end_pack(footer, PART_FOOTER_MAGIC, has_rollups, w->info.number, root, w->info.file_bytes,
                  w->info.data_bytes);
    e = page_write_raw(&w->pages, bytes_of(footer, sizeof footer), why);
    if (e == OK) e = page_writer_close(&w->pages, why);
    if (e == OK) {
        char text[1024];
        const struct part_info *i = &w->info;
        int n = snprintf(
            text, sizeof text,
            "{\n  \"format\": \"firekeep part\",\n  \"version\": %d,\n"
            "  \"number\": %" PRIu64 ",\n  \"log_from\": %" PRIu64 ",\n  \"log_to\": %" PRIu64
            ",\n  \"min_time_ms\": %" PRId64 ",\n  \"max_time_ms\": %" PRId64
            ",\n  \"tenants\": %" PRIu32 ",\n  \"series\": %" PRIu64 ",\n  \"blocks\": %" PRIu64
            ",\n  \"floats\": %" PRIu64 ",\n  \"histograms\": %" PRIu64
            ",\n  \"exemplars\": %" PRIu64 ",\n  \"bytes\": %" PRIu64 "\n}\n",
            has_rollups ? PART_VERSION : PART_VERSION_SAMPLES, i->number, i->from_pos, i->to_pos,
            i->time.min_ms, i->time.max_ms, w->tenant_count, i->series_count, i->block_count,
            i->sample_count[0], i->sample_count[1], i->sample_count[2], i->file_bytes);
        assert(n > 0 && (size_t)n < sizeof text);
        e = env_write_whole(w->env, w->dir, "meta.json", bytes_of(text, (size_t)n), why);
    }
    if (e == OK) e = env_syncdir(w->env, w->dir, why);
    if (e == OK) e = env_syncdir(w->env, w->parts_dir, why);
    if (e == OK) *ret_info = w->info;
    w->finished = e == OK;
    return part_write_error(w, e, why);
}
