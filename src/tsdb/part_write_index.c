/* part_write_index.c - what finds series, and what hangs on them: label values, postings,
 * exemplars, metadata. */
#include <assert.h>

#include "tsdb/part_writer.h"

/* --- labels ----------------------------------------------------------------------------------- */

enum err
part_values_page_out(struct part_writer *w, struct why *why)
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

enum err
part_name_end(struct part_writer *w)
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
    while (n < most && a.at[n] == b.at[n]) {
        n++;
    }
    return (uint32_t)n;
}

/* What is above the value before and not above the first of the page; of the first of a name: "".
 */
static void
note_separator(struct part_writer *w, struct bytes value, bool new_name)
{
    size_t size = new_name ? 0 : shared_prefix(buf_bytes(&w->last_value), value) + 1u;
    buf_clear(&w->separator);
    buf_put_bytes(&w->separator, bytes_of(value.at, size));
}

enum err
part_write_pair(struct part_writer *w, struct label label, struct why *why)
{
    enum err e = OK;
    bool new_name = w->name_pairs == 0 || !bytes_equal(buf_bytes(&w->last_name), label.name);
    if (w->info.pair_count + w->tenant.pair_count >= UINT32_MAX - 1) e = ERR_LIMIT;
    assert(w->name_pairs == 0 || !new_name ||
           bytes_compare(buf_bytes(&w->last_name), label.name) < 0);
    assert(new_name || bytes_compare(buf_bytes(&w->last_value), label.value) < 0);
    if (e == OK && new_name) e = part_name_end(w);
    if (e == OK && part_filling_full(w, &w->label_values, label.value.size + w->restarts.size)) {
        e = part_values_page_out(w, why);
    }
    if (e) return part_told(w, e, why);
    if (new_name) {
        buf_clear(&w->last_name);
        buf_put_bytes(&w->last_name, label.name);
    }
    if (w->page_values == 0) note_separator(w, label.value, new_name);
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
    return part_told(w, err_first(e, buf_error(&w->last_name)), why);
}

/* --- postings --------------------------------------------------------------------------------- */

static enum err
postings_page_out(struct part_writer *w, uint32_t *first, uint32_t next, struct why *why)
{
    if (w->postings.payload.size == 0) return OK;
    uint64_t offset;
    enum err e = part_filling_flush(w, &w->postings, &offset, why);
    if (e) return e;
    part_directory_add(&w->postings_dir, *first, offset);
    *first = next;
    return OK;
}

/* Sorts (pair, series) by counting: `starts` is where each pair's series begin in `series`. */
static void
postings_sort(const struct part_writer *w, uint32_t *starts, uint32_t *series)
{
    const uint32_t *pairs = (const uint32_t *)(const void *)w->row_pairs.at;
    const uint32_t *ends = (const uint32_t *)(const void *)w->row_ends.at;
    uint32_t rows = (uint32_t)(w->row_ends.size / 4), count = w->tenant.pair_count;
    for (uint32_t i = 0; i < w->row_pairs.size / 4; i++) {
        starts[pairs[i] + 1]++;
    }
    for (uint32_t p = 0; p < count; p++) {
        starts[p + 1] += starts[p];
    }
    for (uint32_t row = 0, i = 0; row < rows; row++) {
        for (; i < ends[row]; i++) {
            series[starts[pairs[i]]++] = row;
        }
    }
    for (uint32_t p = count; p > 0; p--) {
        starts[p] = starts[p - 1];
    }
    starts[0] = 0;
}

/* Series as runs of neighbours: how far behind the last, how many more. */
static size_t
runs_put(uint8_t *to, const uint32_t *series, uint32_t count, uint32_t next)
{
    size_t n = 0;
    for (uint32_t i = 0; i < count;) {
        uint32_t run = 1;
        while (i + run < count && series[i + run] == series[i] + run) {
            run++;
        }
        n += varint_put(to + n, series[i] - next);
        n += varint_put(to + n, run - 1);
        next = series[i] + run;
        i += run;
    }
    return n;
}

static size_t
differences_put(uint8_t *to, const uint32_t *series, uint32_t count, uint32_t last)
{
    size_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        n += varint_put(to + n, series[i] - last);
        last = series[i];
    }
    return n;
}

static uint32_t
run_count(const uint32_t *series, uint32_t count)
{
    uint32_t runs = 1;
    for (uint32_t i = 1; i < count; i++) {
        runs += series[i] != series[i - 1] + 1;
    }
    return runs;
}

/* How many of the series the next segment takes: about SEGMENT_NUMBERS numbers. */
static uint32_t
segment_length(const uint32_t *series, uint32_t count, enum list_form form)
{
    uint32_t most = SEGMENT_NUMBERS, n = 1;
    if (form == LIST_DIFFERENCES) return count < most ? count : most;
    for (most /= 2; n < count; n++) {
        if (series[n] != series[n - 1] + 1 && --most == 0) break;
    }
    return n;
}

static void
segments_put(struct buf *to, struct buf *list, const uint32_t *series, uint32_t count,
             enum list_form form)
{
    for (uint32_t i = 0, n, last = 0; i < count; i += n) {
        n = segment_length(series + i, count - i, form);
        list->size = form == LIST_RUNS ? runs_put(list->at, series + i, n, series[i])
                                       : differences_put(list->at, series + i, n, series[i]);
        buf_put_varint(to, series[i] - last);
        buf_put_counted(to, buf_bytes(list));
        last = series[i];
    }
}

/*
 * One list, behind its size. A run takes two numbers: that shorter ones may be worth it where the
 * series between them take many bytes is not tried. Long lists come in segments.
 */
static enum err
list_put(struct part_writer *w, const uint32_t *series, uint32_t count)
{
    struct buf *to = &w->postings.payload, *list = &w->encoded;
    bool runs = count > 0 && 2 * (uint64_t)run_count(series, count) <= count;
    enum list_form form = runs ? LIST_RUNS : LIST_DIFFERENCES;
    buf_clear(list);
    if (!buf_reserve(list, ((size_t)count + 1) * VARINT_SIZE_MAX)) return buf_error(list);
    list->size =
        runs ? runs_put(list->at, series, count, 0) : differences_put(list->at, series, count, 0);
    if (list->size < LIST_SEGMENTED_BYTES) {
        buf_put_varint(to, (uint64_t)list->size << LIST_SIZE_SHIFT | form);
        buf_put_bytes(to, buf_bytes(list));
        return buf_error(to);
    }
    buf_clear(&w->segments);
    segments_put(&w->segments, list, series, count, form);
    buf_put_varint(to, (uint64_t)w->segments.size << LIST_SIZE_SHIFT | LIST_SEGMENTS | form);
    buf_put_bytes(to, buf_bytes(&w->segments));
    return err_first(buf_error(&w->segments), buf_error(to));
}

static enum err
postings_put(struct part_writer *w, const uint32_t *starts, const uint32_t *series, struct why *why)
{
    uint32_t first = w->tenant.first_pair;
    for (uint32_t p = 0; p < w->tenant.pair_count; p++) {
        uint32_t number = w->tenant.first_pair + p;
        if (number - first == PAGE_LISTS_MAX ||
            part_filling_full(w, &w->postings, starts[p + 1] - starts[p] + 2u)) {
            enum err e = postings_page_out(w, &first, number, why);
            if (e) return e;
        }
        enum err e = list_put(w, series + starts[p], starts[p + 1] - starts[p]);
        if (e) return e;
    }
    return postings_page_out(w, &first, 0, why);
}

enum err
part_postings_out(struct part_writer *w, struct why *why)
{
    size_t starts_bytes = ((size_t)w->tenant.pair_count + 2) * sizeof(uint32_t);
    size_t series_bytes = w->row_pairs.size;
    uint32_t *starts = mem_new(w->budget, starts_bytes);
    uint32_t *series = mem_alloc(w->budget, series_bytes);
    enum err e = starts == NULL || series == NULL ? ERR_NOMEM : OK;
    if (e == OK) {
        postings_sort(w, starts, series);
        e = postings_put(w, starts, series, why);
    }
    mem_free(w->budget, starts, starts_bytes);
    mem_free(w->budget, series, series_bytes);
    buf_clear(&w->row_pairs);
    buf_clear(&w->row_ends);
    return e;
}

/* --- exemplars and metadata ------------------------------------------------------------------- */

enum err
part_exemplars_page_out(struct part_writer *w, struct why *why)
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
        e = part_exemplars_page_out(w, why);
    if (e) return part_told(w, e, why);
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
    if (t_ms < w->info.min_ms) w->info.min_ms = t_ms;
    if (t_ms > w->info.max_ms) w->info.max_ms = t_ms;
    return part_told(w, buf_error(to), why);
}

enum err
part_write_metadata(struct part_writer *w, const struct metadata *m, struct why *why)
{
    enum err e = part_series_end(w, why);
    if (e) return part_told(w, e, why);
    buf_put_counted(&w->metadata, m->family);
    buf_put_u8(&w->metadata, (uint8_t)m->type);
    buf_put_counted(&w->metadata, m->help);
    buf_put_counted(&w->metadata, m->unit);
    w->metadata_count++;
    return part_told(w, buf_error(&w->metadata), why);
}
