/*
 * log_series.c - see log_series.h. Sorted runs of references; the runs of a record are merged into
 * them at its end.
 *
 * Invariants, between log_series_end() and the next log_series_begin():
 * 1. Runs are sorted and share no reference.
 * 2. Every run is in one record: its references are at `index` and after it, one each.
 * 3. Records follow one another in the log.
 */
#include "relay/feed/log_series.h"

#include <assert.h>
#include <stdlib.h>

#include "base/array.h"

struct series_run {
    uint64_t first_ref;
    uint32_t count;
    uint32_t record;
    uint32_t index;
};

struct series_record {
    uint64_t pos;
    uint64_t first_bit; /* index in `taken` of its first series */
    uint32_t count;
};

struct log_series {
    struct budget *memory;
    uint64_t segment;
    struct series_run *runs;
    size_t run_count, run_capacity;
    struct series_run *added; /* runs of the current record */
    size_t added_count, added_capacity;
    struct series_record *records;
    size_t record_count, record_capacity;
    uint8_t *taken; /* bits: the destination wants the series */
    size_t taken_capacity;
    uint64_t bit_count;
    size_t hint; /* index of the run that was found last */
};

enum err
log_series_new(struct budget *memory, uint64_t segment, struct log_series **ret_series)
{
    struct log_series *s = mem_new(memory, sizeof *s);
    if (s == NULL) return ERR_NOMEM;
    s->memory = memory;
    s->segment = segment;
    *ret_series = s;
    return OK;
}

void
log_series_free(struct log_series *s)
{
    if (s == NULL) return;
    mem_free(s->memory, s->runs, s->run_capacity * sizeof *s->runs);
    mem_free(s->memory, s->added, s->added_capacity * sizeof *s->added);
    mem_free(s->memory, s->records, s->record_capacity * sizeof *s->records);
    mem_free(s->memory, s->taken, s->taken_capacity);
    mem_free(s->memory, s, sizeof *s);
}

uint64_t
log_series_segment(const struct log_series *s)
{
    return s->segment;
}

/* Makes room for `count` elements of `size` bytes. Grows by half: these arrays are most of a
 * reader's memory, and doubling (base/array.h) would leave more of it unused. */
static enum err
grow(struct budget *memory, void **array, size_t *capacity, size_t count, size_t size)
{
    if (count <= *capacity) return OK;
    size_t wanted = *capacity + *capacity / 2 + 64;
    if (wanted < count) wanted = count;
    void *grown = mem_resize(memory, *array, *capacity * size, wanted * size);
    if (grown == NULL) return ERR_NOMEM;
    *array = grown;
    *capacity = wanted;
    return OK;
}

enum err
log_series_begin(struct log_series *s, uint64_t pos)
{
    enum err e = grow(s->memory, (void **)&s->records, &s->record_capacity, s->record_count + 1,
                      sizeof *s->records);
    if (e) return e;
    if (s->record_count >= UINT32_MAX) return ERR_LIMIT;
    assert(s->record_count == 0 || pos >= s->records[s->record_count - 1].pos); /* invariant 3 */
    s->records[s->record_count] = (struct series_record){.pos = pos, .first_bit = s->bit_count};
    s->added_count = 0;
    return OK;
}

/* The run that holds `ref`, or the place after the last one before it. */
static size_t
run_place(const struct log_series *s, uint64_t ref, bool *ret_found)
{
    size_t after = search_first(i, (size_t)0, s->run_count, s->runs[i].first_ref > ref);
    *ret_found = after > 0 && ref - s->runs[after - 1].first_ref < s->runs[after - 1].count;
    return *ret_found ? after - 1 : after;
}

static enum err
put_bit(struct log_series *s, uint64_t at, bool value)
{
    size_t bytes = (size_t)(at / 8) + 1;
    enum err e = grow(s->memory, (void **)&s->taken, &s->taken_capacity, bytes, 1);
    if (e) return e;
    uint8_t mask = (uint8_t)(1u << (at % 8));
    s->taken[at / 8] = (uint8_t)((s->taken[at / 8] & ~mask) | (value ? mask : 0));
    return OK;
}

enum err
log_series_add(struct log_series *s, uint64_t ref, bool taken)
{
    struct series_record *record = &s->records[s->record_count];
    if (record->count == UINT32_MAX) return ERR_LIMIT;
    enum err e = put_bit(s, record->first_bit + record->count, taken);
    if (e) return e;
    uint32_t index = record->count++;
    bool known;
    run_place(s, ref, &known);
    if (known) return OK; /* defined twice, after a failed commit: the labels are the same */
    struct series_run *last = s->added_count == 0 ? NULL : &s->added[s->added_count - 1];
    if (last != NULL && ref == last->first_ref + last->count &&
        index == last->index + last->count) {
        last->count++;
        return OK;
    }
    e = grow(s->memory, (void **)&s->added, &s->added_capacity, s->added_count + 1,
             sizeof *s->added);
    if (e) return e;
    s->added[s->added_count++] = (struct series_run){ref, 1, (uint32_t)s->record_count, index};
    return OK;
}

static int
compare_runs(const void *a, const void *b)
{
    const struct series_run *x = a, *y = b;
    if (x->first_ref != y->first_ref) return x->first_ref < y->first_ref ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Removes references that a record defines twice: its runs may overlap. */
static void
drop_repeated(struct log_series *s)
{
    size_t kept = 0;
    uint64_t kept_end = 0;
    for (size_t i = 0; i < s->added_count; i++) {
        struct series_run run = s->added[i];
        uint64_t end = run.first_ref + run.count;
        if (kept > 0 && run.first_ref < kept_end) {
            uint64_t over = kept_end < end ? kept_end - run.first_ref : run.count;
            run.first_ref += over;
            run.index += (uint32_t)over;
            run.count -= (uint32_t)over;
        }
        if (run.count == 0) continue;
        assert(kept == 0 || run.first_ref >= kept_end);                     /* invariant 1 */
        assert(run.count <= s->records[s->record_count].count - run.index); /* invariant 2 */
        s->added[kept++] = run;
        kept_end = end;
    }
    s->added_count = kept;
}

enum err
log_series_end(struct log_series *s)
{
    enum err e = grow(s->memory, (void **)&s->runs, &s->run_capacity, s->run_count + s->added_count,
                      sizeof *s->runs);
    if (e) return e;
    if (s->added_count > 1) qsort(s->added, s->added_count, sizeof *s->added, compare_runs);
    drop_repeated(s);
    /* Merges from the end, in place. */
    size_t old = s->run_count, new = s->added_count, to = old + new;
    while (new > 0) {
        bool is_old = old > 0 && s->runs[old - 1].first_ref > s->added[new - 1].first_ref;
        s->runs[--to] = is_old ? s->runs[--old] : s->added[--new];
    }
    assert(to == old);
    s->run_count += s->added_count;
    s->added_count = 0;
    s->bit_count += s->records[s->record_count].count;
    s->record_count++;
    s->hint = 0;
    return OK;
}

bool
log_series_find(struct log_series *s, uint64_t ref, struct log_series_place *ret_place)
{
    size_t at = s->hint;
    bool found = at < s->run_count && ref - s->runs[at].first_ref < s->runs[at].count;
    if (!found && at + 1 < s->run_count) { /* mostly the next run, if not the same */
        at++;
        found = ref - s->runs[at].first_ref < s->runs[at].count;
    }
    if (!found) at = run_place(s, ref, &found);
    if (!found) return false;
    s->hint = at;
    const struct series_run *run = &s->runs[at];
    const struct series_record *record = &s->records[run->record];
    uint32_t index = run->index + (uint32_t)(ref - run->first_ref);
    uint64_t bit = record->first_bit + index;
    *ret_place = (struct log_series_place){
        .record_pos = record->pos,
        .record = run->record,
        .index = index,
        .taken = (s->taken[bit / 8] >> (bit % 8) & 1) != 0,
    };
    return true;
}

uint32_t
log_series_records(const struct log_series *s)
{
    return (uint32_t)s->record_count;
}
