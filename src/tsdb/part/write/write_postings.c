/*
 * write_postings.c - writes for each pair the list of its series. While rows are written, their
 * pairs are remembered in a compact form; when a tenant is complete, its lists are made from that.
 *
 * A row says which of its columns (first pair, second pair, ...) differ from those of the row
 * before, and their pairs: a few bytes, since rows are in label order. Rows for which there is no
 * memory are in a file beside the part, which is removed before the part is finished.
 *
 *     row     varint mask << 1 | other_count; varint number of pairs, if it is another;
 *             per pair that is listed zigzag difference to that of the row before, where that has
 *             none to the pair before in this row
 *     listed  bit i of the mask is set; or i >= MASK_BITS; or the row before has no pair i
 *
 * A walk over all rows gives runs: rows one after another that share a pair in one column. Lists
 * are made by passes over ranges of pairs, each of two walks: one counts the runs of each pair, one
 * puts them in place. So memory does not depend on the number of rows. A pair with more runs than
 * fit is a pass alone, with a bit for each row. (Sorting runs on disk would walk the rows less
 * often; up to a million series of a common kind one pass is enough.)
 *
 * Invariants:
 *  1. A walk visits row_count rows. The runs of a pair ascend, do not overlap, and are within the
 *     rows.
 *  2. A pass makes the lists of at least one pair.
 *  3. packed.at[0..piece_begin) are whole pieces, each in `pieces`; the first spilled_count pieces
 *     are in the file, and take file_bytes there.
 */
#include <assert.h>

#include "tsdb/part/write/writer.h"

/* --- remembering rows ------------------------------------------------------------------------- */

enum { MASK_BITS = 62, PIECE_BYTES = 256 * 1024 };

/* Whole rows that a walk reads at once. */
struct row_piece {
    uint64_t hash;
    uint32_t size_bytes;
};

void
part_pairs_init(struct part_writer *w)
{
    struct row_pairs *r = &w->row_pairs;
    buf_init(&r->pairs, w->budget, PAGE_BYTES_MAX);
    buf_init(&r->packed, w->budget, (size_t)1 << 32);
    buf_init(&r->pieces, w->budget, UINT32_MAX);
    buf_init(&r->columns, w->budget, PAGE_BYTES_MAX);
    r->file = FILE_CLOSED;
}

void
part_pairs_fini(struct part_writer *w)
{
    struct row_pairs *r = &w->row_pairs;
    buf_fini(&r->pairs);
    buf_fini(&r->packed);
    buf_fini(&r->pieces);
    buf_fini(&r->columns);
    file_close(&r->file);
}

enum err
part_pairs_end(struct part_writer *w, struct why *why)
{
    struct row_pairs *r = &w->row_pairs;
    if (r->file.handle < 0) return OK;
    char path[sizeof r->file.path];
    memcpy(path, r->file.path, sizeof path);
    file_close(&r->file);
    return env_unlink(w->env, path, why);
}

static const struct row_piece *
pieces_of(const struct row_pairs *r, uint32_t *ret_count)
{
    *ret_count = (uint32_t)(r->pieces.size / sizeof(struct row_piece));
    return (const struct row_piece *)(const void *)r->pieces.at;
}

/* Moves all whole pieces into the file. */
static enum err
spill(struct part_writer *w, struct why *why)
{
    struct row_pairs *r = &w->row_pairs;
    enum err e = OK;
    if (r->file.handle < 0) {
        char path[256];
        e = path_join(path, sizeof path, w->dir, "rows");
        if (e == OK) e = file_open(w->env, path, FILE_REPLACE, &r->file, why);
    }
    struct bytes whole = bytes_of(r->packed.at, r->piece_begin);
    if (e == OK) e = file_write_at(&r->file, whole, r->file_bytes, why);
    if (e) return e;
    r->file_bytes += whole.size;
    r->packed.size -= whole.size;
    memmove(r->packed.at, r->packed.at + whole.size, r->packed.size);
    r->piece_begin = 0;
    uint32_t spilled = r->spilled_count;
    (void)pieces_of(r, &r->spilled_count);
    assert(r->spilled_count > spilled); /* invariant 3 */
    return OK;
}

enum err
part_pairs_put(struct part_writer *w, const uint32_t *pairs, uint32_t count, struct why *why)
{
    struct row_pairs *r = &w->row_pairs;
    if (!buf_reserve(&r->packed, (count + 2u) * VARINT_SIZE_MAX)) return buf_error(&r->packed);
    if (!buf_reserve(&r->pairs, count * sizeof *pairs)) return buf_error(&r->pairs);
    const uint32_t *before = (const uint32_t *)(const void *)r->pairs.at;
    uint32_t before_count = (uint32_t)(r->pairs.size / sizeof *before);
    uint32_t shared = before_count < count ? before_count : count;
    uint32_t masked = shared < MASK_BITS ? shared : MASK_BITS;
    uint64_t mask = 0;
    for (uint32_t i = 0; i < masked; i++)
        mask |= (uint64_t)(pairs[i] != before[i]) << i;
    uint8_t *to = r->packed.at + r->packed.size;
    to += varint_put(to, mask << 1 | (count != before_count));
    if (count != before_count) to += varint_put(to, count);
    for (uint64_t left = mask; left != 0; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        to += varint_put(to, zigzag((int64_t)pairs[i] - (int64_t)before[i]));
    }
    for (uint32_t i = masked; i < count; i++) {
        uint32_t from = i < before_count ? before[i] : i == 0 ? 0 : pairs[i - 1];
        to += varint_put(to, zigzag((int64_t)pairs[i] - (int64_t)from));
    }
    r->packed.size = (size_t)(to - r->packed.at);
    buf_clear(&r->pairs);
    buf_put(&r->pairs, pairs, count * sizeof *pairs);
    r->row_count++;
    struct bytes piece = bytes_of(r->packed.at + r->piece_begin, r->packed.size - r->piece_begin);
    if (piece.size < PIECE_BYTES) return OK;
    struct row_piece p = {hash_bytes(piece, w->seed), (uint32_t)piece.size};
    buf_put(&r->pieces, &p, sizeof p);
    if (buf_error(&r->pieces)) return buf_error(&r->pieces);
    r->piece_begin = r->packed.size;
    bool full = r->packed.size + 2 * PIECE_BYTES > w->memory_bytes / 2;
    return full ? spill(w, why) : OK;
}

/* --- walking ---------------------------------------------------------------------------------- */

struct walk_column {
    uint32_t pair;
    uint32_t since; /* the first row of the run */
};

typedef void run_fn(void *context, uint32_t pair, struct pair_run run);

struct row_walk {
    struct row_pairs *rows;
    run_fn *each;
    void *context;
    struct walk_column *columns;
    uint32_t count;
    uint32_t row;
};

static inline __attribute__((always_inline)) void
run_end(const struct row_walk *x, uint32_t column)
{
    const struct walk_column *c = &x->columns[column];
    x->each(x->context, c->pair, (struct pair_run){c->since, x->row - c->since});
}

/* Reads a row that put_row() wrote; piece_get() checks what was in the file. */
static inline __attribute__((always_inline)) enum err
walk_row(struct row_walk *x, struct cursor *c)
{
    uint64_t head = cursor_varint(c);
    uint32_t before = x->count;
    if (head & 1) {
        uint32_t count = (uint32_t)cursor_varint(c);
        assert(count <= PAGE_BYTES_MAX / sizeof *x->columns);
        for (uint32_t i = count; i < x->count; i++)
            run_end(x, i);
        struct buf *columns = &x->rows->columns;
        columns->size = 0;
        if (!buf_reserve(columns, count * sizeof *x->columns)) return buf_error(columns);
        x->columns = (struct walk_column *)(void *)columns->at;
        x->count = count;
    }
    uint32_t shared = before < x->count ? before : x->count;
    uint32_t masked = shared < MASK_BITS ? shared : MASK_BITS;
    for (uint64_t left = head >> 1; left != 0; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        assert(i < masked);
        run_end(x, i);
        x->columns[i].pair += (uint32_t)cursor_zigzag(c);
        x->columns[i].since = x->row;
    }
    for (uint32_t i = masked; i < x->count; i++) {
        struct walk_column *to = &x->columns[i];
        uint32_t difference = (uint32_t)cursor_zigzag(c);
        if (i < before && difference == 0) continue;
        if (i < before) run_end(x, i);
        uint32_t from = i < before ? to->pair : i == 0 ? 0 : to[-1].pair;
        *to = (struct walk_column){from + difference, x->row};
    }
    x->row++;
    assert(!c->bad);
    return OK;
}

/* Gives the bytes of a piece; those in the file are read into `encoded`. */
static enum err
piece_get(struct part_writer *w, const struct row_piece *p, bool in_file, uint64_t at,
          struct bytes *ret, struct why *why)
{
    struct row_pairs *r = &w->row_pairs;
    if (!in_file) {
        *ret = bytes_of(r->packed.at + at, p->size_bytes);
        return OK;
    }
    buf_clear(&w->encoded);
    if (!buf_reserve(&w->encoded, p->size_bytes)) return buf_error(&w->encoded);
    enum err e = file_read_at(&r->file, w->encoded.at, p->size_bytes, at, why);
    if (e) return e;
    *ret = bytes_of(w->encoded.at, p->size_bytes);
    if (hash_bytes(*ret, w->seed) == p->hash) return OK;
    return why_set(why, ERR_IO, "%s: postings read back differ from those written", r->file.path);
}

static inline __attribute__((always_inline)) enum err
walk_bytes(struct row_walk *x, struct bytes piece)
{
    struct cursor c = cursor_of(piece);
    enum err e = OK;
    while (e == OK && c.at != c.end)
        e = walk_row(x, &c);
    return e;
}

/*
 * Calls `each` for all runs of rows that have a pair, in the order in which they end: so those of
 * one pair ascend. A run may begin where the one before ends. Inlined: `each` is most of the work.
 */
static inline __attribute__((always_inline)) enum err
rows_walk(struct part_writer *w, run_fn *each, void *context, struct why *why)
{
    struct row_pairs *r = &w->row_pairs;
    struct row_walk x = {.rows = r, .each = each, .context = context};
    uint32_t count;
    uint64_t at = 0;
    const struct row_piece *pieces = pieces_of(r, &count);
    enum err e = OK;
    for (uint32_t i = 0; i < count && e == OK; i++) {
        struct bytes piece = {NULL, 0};
        if (i == r->spilled_count) at = 0; /* from here on in memory */
        e = piece_get(w, &pieces[i], i < r->spilled_count, at, &piece, why);
        if (e == OK) e = walk_bytes(&x, piece);
        at += pieces[i].size_bytes;
    }
    struct bytes rest = bytes_of(r->packed.at + r->piece_begin, r->packed.size - r->piece_begin);
    if (e == OK) e = walk_bytes(&x, rest);
    if (e) return e;
    assert(x.row == r->row_count); /* invariant 1 */
    for (uint32_t i = 0; i < x.count; i++)
        run_end(&x, i);
    return OK;
}

/* The lists of the pairs of one pass. */
struct pass {
    uint32_t first;        /* pair */
    uint32_t pair_count;   /* pairs whose runs are counted */
    uint32_t taken_count;  /* pairs whose runs fit */
    uint32_t *ends;        /* by pair: count of runs; then their start; then their end */
    struct pair_run *runs; /* runs of all pairs, one after another */
    uint32_t run_max;      /* runs that fit */
    uint64_t *bits;        /* by row, for a pair with too many runs */
};

/* --- runs ------------------------------------------------------------------------------------- */

/* Steps through the runs of a pair, from memory or from bits. A copy is a walk of its own. */
struct run_walk {
    const struct pair_run *at;
    const struct pair_run *end;
    const uint64_t *bits; /* NULL if the runs are in memory */
    uint32_t row;
    uint32_t row_count;
};

/* The first row from `row` on whose bit is `value`. */
static uint32_t
find_bit(const struct run_walk *x, uint32_t row, bool value)
{
    uint64_t flip = value ? 0 : ~UINT64_C(0);
    while (row < x->row_count) {
        uint64_t word = (x->bits[row / 64] ^ flip) >> row % 64;
        if (word != 0) {
            row += (uint32_t)__builtin_ctzll(word);
            break;
        }
        row = (row / 64 + 1) * 64;
    }
    return row < x->row_count ? row : x->row_count;
}

static inline bool
run_next(struct run_walk *x, struct pair_run *ret)
{
    if (x->bits != NULL) {
        ret->first = find_bit(x, x->row, true);
        x->row = find_bit(x, ret->first, false);
        ret->count = x->row - ret->first;
        return ret->count > 0;
    }
    if (x->at == x->end) return false;
    struct pair_run run = *x->at++;
    while (x->at < x->end && x->at->first == run.first + run.count)
        run.count += x->at++->count;
    *ret = run;
    return true;
}

/* --- one list --------------------------------------------------------------------------------- */

struct measured {
    uint32_t series_count;
    uint32_t run_count;
    uint64_t size[2]; /* size by form */
};

static struct measured
postings_measure(struct run_walk walk)
{
    struct measured m = {0};
    uint32_t end = 0, last = 0;
    for (struct pair_run run; run_next(&walk, &run);) {
        m.series_count += run.count;
        m.run_count++;
        m.size[LIST_RUNS] += varint_size(run.first - end) + varint_size(run.count - 1);
        m.size[LIST_DIFFERENCES] += varint_size(run.first - last) + run.count - 1;
        end = run.first + run.count;
        last = end - 1;
    }
    return m;
}

/* Writes a run: its distance to the last one, and its length - 1. */
static uint8_t *
put_run(uint8_t *to, struct pair_run run, uint32_t end)
{
    to += varint_put(to, run.first - end);
    return to + varint_put(to, run.count - 1);
}

static uint8_t *
put_differences(uint8_t *to, struct pair_run run, uint32_t last)
{
    to += varint_put(to, run.first - last);
    memset(to, 1, run.count - 1);
    return to + run.count - 1;
}

/* --- long lists: segments --------------------------------------------------------------------- */

/* A segment being filled. */
struct segments {
    struct buf *to; /* NULL to compute only the size */
    uint64_t size_bytes;
    uint32_t first;        /* first series of the segment */
    uint32_t before;       /* first series of the segment before */
    uint32_t number_count; /* numbers in the segment, about SEGMENT_NUMBERS at most */
    uint32_t next;         /* the next number is written as the difference to this one */
    uint8_t list[(SEGMENT_NUMBERS + 2) * 5];
    size_t list_size;
};

static void
segment_end(struct segments *s)
{
    if (s->number_count == 0) return;
    assert(s->list_size <= sizeof s->list);
    uint32_t step = s->first - s->before;
    s->size_bytes += varint_size(step) + varint_size(s->list_size) + s->list_size;
    if (s->to != NULL) {
        buf_put_varint(s->to, step);
        buf_put_counted(s->to, bytes_of(s->list, s->list_size));
    }
    s->before = s->first;
    s->number_count = 0;
    s->list_size = 0;
}

static void
segment_begin(struct segments *s, uint32_t first)
{
    if (s->number_count == SEGMENT_NUMBERS) segment_end(s);
    if (s->number_count > 0) return;
    s->first = s->next = first;
}

/* Writes segments into `to`, which may be NULL; returns their size. */
static uint64_t
put_segments(struct buf *to, struct run_walk walk, enum list_form form)
{
    struct segments s;
    s.to = to;
    s.size_bytes = s.list_size = 0;
    s.before = s.number_count = 0;
    for (struct pair_run run; run_next(&walk, &run);) {
        if (form == LIST_RUNS) {
            segment_begin(&s, run.first);
            uint8_t *at = s.list + s.list_size;
            s.list_size += (size_t)(put_run(at, run, s.next) - at);
            s.next = run.first + run.count;
            s.number_count += 2;
        } else {
            while (run.count > 0) {
                segment_begin(&s, run.first);
                uint32_t room = SEGMENT_NUMBERS - s.number_count;
                struct pair_run some = {run.first, run.count < room ? run.count : room};
                uint8_t *at = s.list + s.list_size;
                s.list_size += (size_t)(put_differences(at, some, s.next) - at);
                s.next = some.first + some.count - 1;
                s.number_count += some.count;
                run.first += some.count;
                run.count -= some.count;
            }
        }
    }
    segment_end(&s);
    return s.size_bytes;
}

/* --- pages ------------------------------------------------------------------------------------ */

static enum err
page_out(struct part_writer *w, uint32_t next, struct why *why)
{
    if (w->postings.payload.size == 0) return OK;
    uint64_t offset;
    enum err e = part_filling_flush(w, &w->postings, &offset, why);
    if (e) return e;
    part_directory_add(&w->postings_dir, w->postings_first, offset);
    w->postings_first = next;
    return OK;
}

/*
 * A run takes two numbers: that shorter ones may be worth it where the series between them take
 * many bytes is not tried.
 */
static enum err
pair_out(struct part_writer *w, uint32_t pair, struct run_walk walk, struct why *why)
{
    struct measured m = postings_measure(walk);
    uint32_t number = w->tenant.first_pair + pair;
    if (number - w->postings_first == PAGE_LISTS_MAX ||
        part_filling_full(w, &w->postings, m.series_count + (size_t)2)) {
        enum err e = page_out(w, number, why);
        if (e) return e;
    }
    bool runs = m.series_count > 0 && 2 * (uint64_t)m.run_count <= m.series_count;
    /* Writes the list after its size. Long lists come in segments. */
    enum list_form form = runs ? LIST_RUNS : LIST_DIFFERENCES;
    struct buf *to = &w->postings.payload;
    uint64_t size = m.size[form];
    if (size < LIST_SEGMENTED_BYTES) {
        buf_put_varint(to, size << LIST_SIZE_SHIFT | form);
        if (!buf_reserve(to, size)) return buf_error(to);
        uint8_t *at = to->at + to->size;
        uint32_t end = 0, last = 0;
        for (struct pair_run run; run_next(&walk, &run);) {
            at = runs ? put_run(at, run, end) : put_differences(at, run, last);
            end = run.first + run.count;
            last = end - 1;
        }
        to->size += size;
        return buf_error(to);
    }
    size = put_segments(NULL, walk, form);
    buf_put_varint(to, size << LIST_SIZE_SHIFT | LIST_SEGMENTS | form);
    if (!buf_reserve(to, size)) return buf_error(to);
    (void)put_segments(to, walk, form);
    return buf_error(to);
}

/* --- passes ----------------------------------------------------------------------------------- */

static void
count_run(void *context, uint32_t pair, struct pair_run run)
{
    struct pass *p = context;
    (void)run;
    if (pair - p->first < p->pair_count) p->ends[pair - p->first]++;
}

static void
take_run(void *context, uint32_t pair, struct pair_run run)
{
    struct pass *p = context;
    if (pair - p->first < p->taken_count) p->runs[p->ends[pair - p->first]++] = run;
}

static void
take_bits(void *context, uint32_t pair, struct pair_run run)
{
    struct pass *p = context;
    if (pair != p->first) return;
    for (uint32_t row = run.first; row < run.first + run.count;) {
        uint32_t end = run.first + run.count, bit = row % 64, count = 64 - bit;
        if (count > end - row) count = end - row;
        p->bits[row / 64] |= ~UINT64_C(0) >> (64 - count) << bit;
        row += count;
    }
}

static enum err
long_pair(struct part_writer *w, struct pass *p, struct why *why)
{
    uint32_t rows = w->row_pairs.row_count;
    size_t size = ((size_t)rows / 64 + 1) * sizeof *p->bits;
    p->bits = mem_new(w->budget, size);
    if (p->bits == NULL) return ERR_NOMEM;
    enum err e = rows_walk(w, take_bits, p, why);
    struct run_walk walk = {.bits = p->bits, .row_count = rows};
    if (e == OK) e = pair_out(w, p->first, walk, why);
    mem_free(w->budget, p->bits, size);
    return e;
}

static enum err
short_pairs(struct part_writer *w, struct pass *p, uint32_t run_count, struct why *why)
{
    size_t size = ((size_t)run_count + 1) * sizeof *p->runs;
    p->runs = mem_alloc(w->budget, size);
    if (p->runs == NULL) return ERR_NOMEM;
    enum err e = rows_walk(w, take_run, p, why);
    for (uint32_t i = 0, at = 0; i < p->taken_count && e == OK; i++) {
        struct run_walk walk = {.at = p->runs + at, .end = p->runs + p->ends[i]};
        at = p->ends[i];
        e = pair_out(w, p->first + i, walk, why);
    }
    mem_free(w->budget, p->runs, size);
    return e;
}

/* Writes the lists of some pairs from p->first on. */
static enum err
pass_run(struct part_writer *w, struct pass *p, struct why *why)
{
    size_t size = p->pair_count * sizeof *p->ends;
    p->ends = mem_new(w->budget, size);
    if (p->ends == NULL) return ERR_NOMEM;
    enum err e = rows_walk(w, count_run, p, why);
    if (e == OK) {
        /* Takes as many pairs as their runs fit. */
        uint32_t runs = 0, i = 0;
        for (; i < p->pair_count && p->ends[i] <= p->run_max - runs; i++) {
            uint32_t count = p->ends[i];
            p->ends[i] = runs;
            runs += count;
        }
        p->taken_count = i;
        e = p->taken_count > 0 ? short_pairs(w, p, runs, why) : long_pair(w, p, why);
        if (p->taken_count == 0) p->taken_count = 1;
    }
    mem_free(w->budget, p->ends, size);
    return e;
}

enum err
part_postings_out(struct part_writer *w, struct why *why)
{
    /* Memory for a pass: a quarter for counts, the rest for runs. It grows with the rows, which
     * would be walked too often otherwise. */
    uint64_t rows = w->row_pairs.row_count, least = w->memory_bytes / 2;
    uint64_t bytes = rows > least ? rows : least, all = w->tenant.pair_count;
    uint64_t counted_max = bytes / 4 / sizeof(uint32_t);
    uint64_t run_max = bytes / 4 * 3 / sizeof(struct pair_run);
    enum err e = OK;
    w->postings_first = w->tenant.first_pair;
    for (uint64_t at = 0, taken; at < all && e == OK; at += taken) {
        struct pass p = {
            .first = (uint32_t)at,
            .pair_count = (uint32_t)(all - at < counted_max ? all - at : counted_max),
            .run_max = (uint32_t)(run_max < UINT32_MAX ? run_max : UINT32_MAX),
        };
        e = pass_run(w, &p, why);
        taken = p.taken_count;
        assert(e || taken > 0); /* invariant 2 */
    }
    if (e == OK) e = page_out(w, 0, why);
    struct row_pairs *r = &w->row_pairs;
    buf_clear(&r->pairs);
    buf_clear(&r->packed);
    buf_clear(&r->pieces);
    r->piece_begin = 0;
    r->spilled_count = 0;
    r->file_bytes = 0;
    r->row_count = 0;
    return e;
}
