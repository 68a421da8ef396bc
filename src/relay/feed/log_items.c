/*
 * log_items.c - see log_items.h: turns records of the log into items.
 *
 * A record of series becomes a page: the labels of its series as they are sent, one after another.
 * A page is made when the record is read, because the samples that follow belong to its series, and
 * again whenever one of its series is needed and the page is no longer in the cache. Under a steady
 * load a record of samples needs one or two pages, mostly the same as the record before it, since
 * senders send their series in one order.
 *
 * Invariants:
 * 1. There is at most one map for a segment, in the order of segments.
 * 2. A page whose segment is 0 belongs to no record: it is being filled, or filling it failed.
 * 3. A pending record was given by the reader at `pending_from`, and is given out once.
 */
#include "relay/feed/log_items.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/hash/hash.h"

enum { CHUNK_BYTES_MAX = 256 * 1024 * 1024, CHUNK_KEEP_BYTES = 256 * 1024 };

void
chunk_init(struct chunk *chunk, struct budget *memory)
{
    *chunk = (struct chunk){0};
    arena_init(&chunk->arena, memory, CHUNK_BYTES_MAX, 0);
}

void
chunk_fini(struct chunk *chunk)
{
    arena_fini(&chunk->arena);
}

void
chunk_clear(struct chunk *chunk)
{
    struct arena arena = chunk->arena;
    arena_reset_to(&arena, CHUNK_KEEP_BYTES);
    *chunk = (struct chunk){.arena = arena};
}

void *
chunk_more(struct chunk *chunk, void *array, uint32_t count, size_t size)
{
    return arena_push(&chunk->arena, array, count, size);
}

int64_t
chunk_time_ms(const struct chunk *c, uint32_t i)
{
    if (c->kind == ITEM_FLOAT) return (int64_t)c->floats.times[i];
    return c->kind == ITEM_HISTOGRAM ? c->histograms[i].t_ms : c->exemplars[i].t_ms;
}

uint64_t
chunk_ref(const struct chunk *c, uint32_t i)
{
    if (c->kind == ITEM_FLOAT) return c->floats.refs[i];
    return c->kind == ITEM_HISTOGRAM ? c->histograms[i].ref : c->exemplars[i].ref;
}

void
chunk_item(const struct chunk *c, uint32_t i, struct item *item)
{
    *item = (struct item){
        .kind = c->kind,
        .pos = chunk_item_pos(c, i),
        .index = chunk_item_index(c, i),
        .arrival_ms = c->realtime_ms,
    };
    switch (c->kind) {
    case ITEM_FLOAT:
        item->t_ms = (int64_t)c->floats.times[i];
        item->start_ms = c->floats.starts == NULL ? 0 : (int64_t)c->floats.starts[i];
        item->bits = c->floats.bits[i];
        break;
    case ITEM_HISTOGRAM:
        item->t_ms = c->histograms[i].t_ms;
        item->start_ms = c->histograms[i].start_ms;
        item->histogram = &c->histograms[i].h;
        break;
    case ITEM_EXEMPLAR:
        item->t_ms = c->exemplars[i].t_ms;
        item->bits = c->exemplars[i].bits;
        item->exemplar_labels = c->exemplars[i].labels;
        break;
    default:
        item->tenant = c->tenant;
        item->family = c->families[i].family;
        item->family_type = c->families[i].type;
        item->help = c->families[i].help;
        item->unit = c->families[i].unit;
        item->series_hash = hash_bytes(item->family, hash_bytes(c->tenant, 0));
        return;
    }
    if (!c->filled) return;
    const struct chunk_series *series = &c->series[chunk_ref(c, i)];
    item->tenant = c->tenant;
    item->labels = series->labels;
    item->series_hash = series->hash;
}

/*
 * Sorted runs of references; the runs of a record are merged into them at its end.
 *
 * Invariants of series, between log_series_end() and the next log_series_begin():
 * 1. Runs are sorted and share no reference.
 * 2. Every run is in one record: its references are at `index` and after it, one each.
 * 3. Records follow one another in the log.
 */

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
    assert(s->record_count == 0 ||
           pos >= s->records[s->record_count - 1].pos); /* invariant 3 of series */
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

enum err
log_series_add(struct log_series *s, uint64_t ref, bool taken)
{
    struct series_record *record = &s->records[s->record_count];
    if (record->count == UINT32_MAX) return ERR_LIMIT;
    uint64_t at = record->first_bit + record->count;
    size_t bytes = (size_t)(at / 8) + 1;
    enum err e = grow(s->memory, (void **)&s->taken, &s->taken_capacity, bytes, 1);
    if (e) return e;
    uint8_t mask = (uint8_t)(1u << (at % 8));
    s->taken[at / 8] = (uint8_t)((s->taken[at / 8] & ~mask) | (taken ? mask : 0));
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
        assert(kept == 0 || run.first_ref >= kept_end); /* invariant 1 of series */
        assert(run.count <=
               s->records[s->record_count].count - run.index); /* invariant 2 of series */
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

enum {
    PAGES_MAX = 64,
    PAGES_KEPT = 2,
    PAGE_BYTES_MAX = 256 * 1024 * 1024,
    SERIES_BYTES_MAX = 256 * 1024 * 1024,
    LOG_ITEMS_SCRATCH_KEEP_BYTES = 256 * 1024,
    SEGMENTS_MAX = 64, /* segments with pending records */
};

struct label_page {
    uint64_t segment;
    uint32_t record;
    uint32_t count;
    uint64_t used; /* log_items.clock at its last use */
    struct buf tenant;
    struct buf labels; /* labels of all series, one after another */
    struct buf ends;   /* uint32_t: the end of each series' labels */
    struct buf hashes; /* uint64_t: the hash of each series */
};

struct log_items {
    struct log_items_options options;
    struct wal_reader *reader;
    struct log_series *segments[SEGMENTS_MAX]; /* maps of segments that are not passed */
    uint32_t segment_count;
    struct label_page pages[PAGES_MAX];
    uint32_t page_count;
    uint64_t clock;         /* counts uses of pages */
    struct log_count count; /* items that were read, and lost ones */
    uint64_t start_pos;     /* position at which reading began */
    uint64_t compared_pos;  /* end of the commit with which the count was compared last; 0: none */
    struct wal_record pending;
    uint64_t pending_from; /* end of the record before it */
    bool has_pending;      /* `pending` was read, and not given out so far */
    uint64_t tried_pos;    /* position at which the record was read that was read last */
    uint64_t bad_pos;      /* start of the damage that was met last */
    struct arena scratch;
};

/* --- chunks ----------------------------------------------------------------------------------- */

static enum err
add_histogram(void *context, const struct record_histogram *sample)
{
    struct chunk *c = context;
    void *grown = chunk_more(c, c->histograms, c->count, sizeof *sample);
    if (grown == NULL) return ERR_NOMEM;
    c->histograms = grown;
    c->histograms[c->count++] = *sample;
    return OK;
}

static enum err
add_exemplar(void *context, const struct record_exemplar *x)
{
    struct chunk *c = context;
    void *grown = chunk_more(c, c->exemplars, c->count, sizeof *x);
    if (grown == NULL) return ERR_NOMEM;
    c->exemplars = grown;
    c->exemplars[c->count++] = *x;
    return OK;
}

static enum err
add_family(void *context, struct bytes tenant, const struct metadata *metadata)
{
    struct chunk *c = context;
    void *grown = chunk_more(c, c->families, c->count, sizeof *metadata);
    if (grown == NULL) return ERR_NOMEM;
    c->tenant = tenant;
    c->families = grown;
    c->families[c->count++] = *metadata;
    return OK;
}

/* The record's view may end before the chunk does. */
static enum err
copy_payload(struct chunk *c, struct bytes *payload)
{
    size_t size = payload->size;
    *payload = arena_copy(&c->arena, *payload);
    return size > 0 && payload->at == NULL ? ERR_NOMEM : OK;
}

static enum err
unpack_items(struct chunk *c, uint8_t type, struct bytes payload)
{
    enum err e;
    switch (type) {
    case WAL_FLOATS:
        c->kind = ITEM_FLOAT;
        e = record_unpack_floats(payload, &c->arena, &c->floats);
        if (e == OK && c->floats.count > UINT32_MAX) e = ERR_CORRUPT;
        if (e == OK) c->count = (uint32_t)c->floats.count;
        return e;
    case WAL_HISTOGRAMS:
        c->kind = ITEM_HISTOGRAM;
        return record_each_histogram(payload, add_histogram, c, &c->arena);
    case WAL_EXEMPLARS:
        c->kind = ITEM_EXEMPLAR;
        e = copy_payload(c, &payload);
        return e ? e : record_each_exemplar(payload, add_exemplar, c);
    default:
        assert(type == WAL_METADATA);
        c->kind = ITEM_METADATA;
        e = copy_payload(c, &payload);
        return e ? e : record_each_metadata(payload, add_family, c);
    }
}

static enum err
fill_chunk(struct chunk *c, const struct wal_record *record, struct why *why)
{
    chunk_clear(c);
    c->pos = record->pos;
    c->segment = record->segment;
    c->realtime_ms = record->realtime_ms;
    enum err e = unpack_items(c, record->type, record->payload);
    if (e)
        why_set(why, e, "cannot read the record at position %" PRIu64 " of the log", record->pos);
    return e;
}

/* --- pages ------------------------------------------------------------------------------------ */

/* Returns an empty page: a new one, or the least recently used one. */
static struct label_page *
page_claim(struct log_items *s)
{
    size_t bytes = 0;
    uint32_t oldest = 0;
    for (uint32_t i = 0; i < s->page_count; i++) {
        const struct label_page *page = &s->pages[i];
        bytes += page->labels.capacity + page->ends.capacity + page->hashes.capacity +
                 page->tenant.capacity;
        if (s->pages[i].used < s->pages[oldest].used) oldest = i;
    }
    bool full = s->page_count == PAGES_MAX ||
                (s->page_count >= PAGES_KEPT && bytes >= s->options.cache_bytes);
    assert(full || s->page_count < PAGES_MAX);
    struct label_page *p = &s->pages[full ? oldest : s->page_count++];
    if (!full) {
        *p = (struct label_page){0};
        buf_init(&p->tenant, s->options.memory, PAGE_BYTES_MAX);
        buf_init(&p->labels, s->options.memory, PAGE_BYTES_MAX);
        buf_init(&p->ends, s->options.memory, PAGE_BYTES_MAX);
        buf_init(&p->hashes, s->options.memory, PAGE_BYTES_MAX);
    }
    buf_clear(&p->tenant);
    buf_clear(&p->labels);
    buf_clear(&p->ends);
    buf_clear(&p->hashes);
    p->segment = 0; /* invariant 2 */
    p->count = 0;
    p->used = ++s->clock;
    return p;
}

/* Puts a record of series into a page, and the first time into the map too. */
struct page_fill {
    struct log_items *log;
    struct label_page *page;
    struct log_series *map; /* NULL if the map has the record already */
};

static enum err
fill_series(void *context, struct bytes tenant, uint64_t ref, struct bytes labels)
{
    struct page_fill *f = context;
    struct label_page *p = f->page;
    if (p->count == 0) buf_put_bytes(&p->tenant, tenant);
    struct arena *scratch = &f->log->scratch;
    struct bytes given;
    enum err e = selection_apply(f->log->options.selection, tenant, labels, scratch, &given);
    if (e) return e;
    buf_put_bytes(&p->labels, given);
    buf_put_le32(&p->ends, (uint32_t)p->labels.size);
    buf_put_le64(&p->hashes, hash_bytes(labels, hash_bytes(tenant, 0)));
    arena_reset_to(scratch, LOG_ITEMS_SCRATCH_KEEP_BYTES);
    p->count++;
    return f->map == NULL ? OK : log_series_add(f->map, ref, given.size > 0);
}

static enum err
page_fill(struct log_items *s, struct log_series *map, const struct wal_record *record,
          struct label_page **ret_page)
{
    struct page_fill f = {s, page_claim(s), map};
    assert(f.page->segment == 0); /* invariant 2 */
    struct arena series;
    arena_init(&series, s->options.memory, SERIES_BYTES_MAX, 0);
    enum err e = record_each_series(record->payload, NULL, fill_series, &f, &series);
    arena_fini(&series);
    if (e == OK) e = buf_error(&f.page->tenant);
    if (e == OK) e = buf_error(&f.page->labels);
    if (e == OK) e = buf_error(&f.page->ends);
    if (e == OK) e = buf_error(&f.page->hashes);
    if (e == OK) *ret_page = f.page;
    return e;
}

/* The page that holds a series. */
static enum err
page_find(struct log_items *s, uint64_t segment, const struct log_series_place *place,
          struct label_page **ret_page, struct why *why)
{
    for (uint32_t i = s->page_count; i-- > 0;) {
        struct label_page *p = &s->pages[i];
        if (p->segment != segment || p->record != place->record) continue;
        p->used = ++s->clock;
        *ret_page = p;
        return OK;
    }
    struct wal_record record;
    enum err e = wal_reader_again(s->reader, place->record_pos, &record, why);
    if (e == OK && record.type != WAL_SERIES) e = ERR_CORRUPT;
    struct label_page *p = NULL;
    if (e == OK) e = page_fill(s, NULL, &record, &p);
    if (e == OK && p->count <= place->index) e = ERR_CORRUPT;
    if (e) return e;
    p->segment = segment;
    p->record = place->record;
    *ret_page = p;
    return OK;
}

/* --- segments --------------------------------------------------------------------------------- */

static struct log_series *
segment_series(struct log_items *s, uint64_t segment)
{
    for (uint32_t i = s->segment_count; i-- > 0;)
        if (s->segments[i]->segment == segment) return s->segments[i];
    return NULL;
}

/* Reads a record of series. ERR_AGAIN: too many segments have pending records. */
static enum err
read_series(struct log_items *s, const struct wal_record *record)
{
    struct log_series *map = segment_series(s, record->segment);
    struct label_page *page;
    enum err e = OK;
    if (map == NULL) {
        if (s->segment_count == SEGMENTS_MAX) return ERR_AGAIN;
        assert(s->segment_count == 0 ||
               s->segments[s->segment_count - 1]->segment < record->segment); /* invariant 1 */
        e = log_series_new(s->options.memory, record->segment, &map);
        if (e == OK) s->segments[s->segment_count++] = map;
    }
    if (e == OK) e = log_series_begin(map, record->pos);
    if (e == OK) e = page_fill(s, map, record, &page);
    if (e == OK) e = log_series_end(map);
    if (e) return e;
    page->segment = record->segment;
    page->record = log_series_records(map) - 1;
    return OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

enum err
log_items_open(const struct log_items_options *options, uint64_t pos, struct log_items **ret_items,
               struct why *why)
{
    struct log_items *s = mem_new(options->memory, sizeof *s);
    if (s == NULL) return why_set(why, ERR_NOMEM, "not enough memory to follow the log");
    s->options = *options;
    s->count = options->begin;
    arena_init(&s->scratch, options->memory, SERIES_BYTES_MAX, 0);
    enum err e = wal_reader_open(options->wal, options->name, pos, &s->reader, why);
    if (e) {
        log_items_close(s);
        return e;
    }
    s->start_pos = wal_reader_pos(s->reader);
    *ret_items = s;
    return OK;
}

void
log_items_close(struct log_items *s)
{
    if (s == NULL) return;
    wal_reader_close(s->reader);
    while (s->segment_count > 0)
        log_series_free(s->segments[--s->segment_count]);
    while (s->page_count > 0) {
        struct label_page *p = &s->pages[--s->page_count];
        buf_fini(&p->tenant);
        buf_fini(&p->labels);
        buf_fini(&p->ends);
        buf_fini(&p->hashes);
    }
    arena_fini(&s->scratch);
    mem_free(s->options.memory, s, sizeof *s);
}

uint64_t
log_items_pos(const struct log_items *s)
{
    return s->has_pending ? s->pending_from : wal_reader_pos(s->reader);
}

uint64_t
log_items_damage_pos(const struct log_items *s)
{
    return s->tried_pos;
}

uint64_t
log_items_bad_pos(const struct log_items *s)
{
    return s->bad_pos;
}

/* Reads the next record, or again the one that could not be processed: the reader gives it only
 * once by itself. */
static enum err
next_record(struct log_items *s, struct wal_record *ret_record, struct why *why)
{
    enum err e = OK;
    if (!s->has_pending) {
        s->pending_from = wal_reader_pos(s->reader);
        e = wal_reader_next(s->reader, &s->pending, why);
        s->has_pending = e == OK;
        s->bad_pos = e == OK ? s->pending.pos : wal_reader_bad_pos(s->reader);
    } else {
        struct wal_record again;
        assert(s->pending_from <= s->pending.pos); /* invariant 3 */
        e = wal_reader_again(s->reader, s->pending.pos, &again, why);
        if (e == OK) s->pending.payload = again.payload;
        if (e == ERR_CORRUPT) s->has_pending = false; /* damaged since; it is skipped */
    }
    if (e == OK) *ret_record = s->pending;
    return e;
}

const struct log_count *
log_items_count(const struct log_items *s)
{
    return &s->count;
}

void
log_items_pass_lost(struct log_items *s, const uint64_t totals[LEDGER_KIND_COUNT])
{
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++)
        if (s->count.of[kind] < totals[kind]) s->count.of[kind] = totals[kind];
}

/*
 * The log's running totals at each commit are the numbers of items before it: items among them that
 * were not read are lost. If reading begins within a commit, its total does not include items that
 * were read before. The end of a commit identifies it: a log that lost its end gives the same
 * numbers again, and its totals may be lower than before.
 */
static void
count_items(struct log_items *s, const struct wal_record *record, struct chunk *c)
{
    bool compare = record->totals_known && record->commit_end_pos != s->compared_pos &&
                   record->commit_pos >= s->start_pos;
    if (!s->count.known && s->compared_pos == 0)
        s->count.known = wal_reader_start_totals(s->reader, s->count.of);
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT && compare; kind++) {
        uint64_t count = s->count.of[kind], total = record->totals[kind];
        if (s->count.known && total > count) c->lost[kind] = total - count;
        s->count.of[kind] = total;
    }
    if (compare) {
        s->count.known = true;
        s->compared_pos = record->commit_end_pos;
    }
    if (c->kind != ITEM_METADATA) s->count.of[c->kind] += c->count;
}

enum err
log_items_next(struct log_items *s, struct chunk *ret_chunk, struct why *why)
{
    for (;;) {
        struct wal_record record;
        s->tried_pos = log_items_pos(s);
        enum err e = next_record(s, &record, why);
        if (e) return e;
        bool is_chunk = false;
        switch (record.type) {
        case WAL_SERIES:
            e = read_series(s, &record);
            if (e)
                why_set(why, e, "cannot read the series at position %" PRIu64 " of the log",
                        record.pos);
            break;
        case WAL_FLOATS:
        case WAL_HISTOGRAMS:
        case WAL_EXEMPLARS:
        case WAL_METADATA:
            e = fill_chunk(ret_chunk, &record, why);
            ret_chunk->end_pos = wal_reader_pos(s->reader);
            if (e == OK) count_items(s, &record, ret_chunk);
            is_chunk = true;
            break;
        default:
            break; /* destinations do not get other records */
        }
        if (e == OK || e == ERR_CORRUPT) s->has_pending = false;
        if (e || is_chunk) return e;
    }
}

enum err
log_items_load(struct log_items *s, uint64_t pos, struct chunk *ret_chunk, struct why *why)
{
    struct wal_record record;
    enum err e = wal_reader_again(s->reader, pos, &record, why);
    if (e) return e;
    bool is_chunk = record.type == WAL_FLOATS || record.type == WAL_HISTOGRAMS ||
                    record.type == WAL_EXEMPLARS || record.type == WAL_METADATA;
    if (!is_chunk)
        return why_set(why, ERR_CORRUPT, "no samples at position %" PRIu64 " of the log", pos);
    return fill_chunk(ret_chunk, &record, why);
}

void
log_items_pass(struct log_items *s, uint64_t pos, uint64_t segment)
{
    wal_reader_pass(s->reader, pos);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->segment_count; i++) {
        struct log_series *map = s->segments[i];
        if (map->segment >= segment)
            s->segments[kept++] = map;
        else
            log_series_free(map);
    }
    s->segment_count = kept;
}

/* --- items ------------------------------------------------------------------------------------ */

static bool
find_series(struct log_items *s, const struct chunk *c, uint32_t i, struct log_series_place *ret)
{
    struct log_series *map = segment_series(s, c->segment);
    return map != NULL && log_series_find(map, chunk_ref(c, i), ret);
}

bool
log_items_takes(struct log_items *s, const struct chunk *c, uint32_t i)
{
    assert(i < c->count);
    if (c->kind == ITEM_METADATA)
        return selection_takes_family(s->options.selection, c->tenant, c->families[i].family);
    struct log_series_place place;
    return !find_series(s, c, i, &place) || place.taken;
}

enum err
log_items_item(struct log_items *s, const struct chunk *c, uint32_t i, struct item *ret_item,
               struct why *why)
{
    assert(i < c->count);
    chunk_item(c, i, ret_item);
    if (c->kind == ITEM_METADATA) return OK;
    struct log_series_place place;
    struct label_page *page;
    if (!find_series(s, c, i, &place)) {
        return why_set(why, ERR_CORRUPT,
                       "the labels of a series at position %" PRIu64 " of the log are lost",
                       c->pos);
    }
    enum err e = page_find(s, c->segment, &place, &page, why);
    if (e) return e;
    ret_item->tenant = buf_bytes(&page->tenant);
    const uint32_t *ends = (const uint32_t *)(const void *)page->ends.at;
    uint32_t from = place.index == 0 ? 0 : ends[place.index - 1];
    ret_item->labels = bytes_of(page->labels.at + from, ends[place.index] - from);
    ret_item->series_hash = load_le64(page->hashes.at + 8 * (size_t)place.index);
    return OK;
}
