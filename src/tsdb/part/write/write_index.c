/* write_index.c - writes label values, exemplars and metadata. Invariants are in write.c. */
#include <assert.h>

#include "tsdb/part/write/writer.h"

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
    if (e == OK && new_name) e = part_name_end(w);
    if (e == OK && part_filling_full(w, &w->label_values, label.value.size + w->restarts.size)) {
        e = part_values_page_out(w, why);
    }
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
    if (t_ms < w->info.min_ms) w->info.min_ms = t_ms;
    if (t_ms > w->info.max_ms) w->info.max_ms = t_ms;
    return part_write_error(w, buf_error(to), why);
}

enum err
part_stale_page_out(struct part_writer *w, struct why *why)
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
        enum err e = part_stale_page_out(w, why);
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
