/*
 * share.c - write requests of one connection, made window by window.
 *
 * Times. A target is scraped every interval at its own offset, and now and then up to 180 ms late,
 * as in the capture (one in eight).
 *
 * Late samples are held back: they are sent 1..40 scrapes later (10 minutes at 15 s), at the end of
 * a request of their series' share. All are sent before the load ends, so that the number of
 * samples does not depend on how many are late.
 *
 * Everything is drawn from hashes of series, scrape and seed, so a run that skips scrapes continues
 * where another one stopped.
 */
#include "lib/share.h"

#include <math.h>
#include <stdlib.h>

#include "base/hash/hash.h"
#include "lib/tool.h"
#include "wire/snappy.h"

enum { SYMBOL_SLOTS = 1 << 16, JITTER_ONE_IN = 8, JITTER_MS = 180 };

/* --- one series ------------------------------------------------------------------------------- */

static void
put_sample(struct buf *to, uint8_t tag, uint64_t bits, int64_t t_ms)
{
    size_t size = 9 + 1 + varint_size((uint64_t)t_ms);
    buf_put_u8(to, tag);
    buf_put_varint(to, size);
    buf_put_u8(to, 0x09);
    buf_put_le64(to, bits);
    buf_put_u8(to, 0x10);
    buf_put_varint(to, (uint64_t)t_ms);
}

static void
put_series_1(struct buf *to, const struct held *h)
{
    size_t sample = 2 + 9 + 1 + varint_size((uint64_t)h->t_ms);
    buf_put_u8(to, 0x0a);
    buf_put_varint(to, h->labels.size + sample);
    buf_put_bytes(to, h->labels);
    put_sample(to, 0x12, h->bits, h->t_ms);
}

/* Returns the symbol's number in this request; new ones are added. Slots are emptied for
 * each request. */
static uint32_t
symbol(struct share *s, uint32_t *count, struct bytes text)
{
    uint32_t at = (uint32_t)hash_bytes(text, 7) & (SYMBOL_SLOTS - 1);
    for (; s->local[at] != 0; at = (at + 1) & (SYMBOL_SLOTS - 1))
        if (bytes_equal(s->slot[at], text)) return s->local[at];
    if (*count >= SYMBOL_SLOTS / 2) die("too many symbols in a request");
    s->slot[at] = text;
    s->local[at] = ++*count;
    buf_put_u8(&s->message, 0x22);
    buf_put_counted(&s->message, text);
    return s->local[at];
}

static void
put_series_2(struct share *s, uint32_t *count, const struct held *h)
{
    uint8_t refs[2 * 64 * VARINT_SIZE_MAX];
    size_t size = 0;
    struct buf *to = &s->series;
    struct cursor cursor = cursor_of(h->labels);
    struct label l;
    while (label_next(&cursor, &l) && size < sizeof refs - 2 * VARINT_SIZE_MAX) {
        size += varint_put(refs + size, symbol(s, count, l.name));
        size += varint_put(refs + size, symbol(s, count, l.value));
    }
    size_t sample = 2 + 9 + 1 + varint_size((uint64_t)h->t_ms);
    buf_put_u8(to, 0x2a);
    buf_put_varint(to, 1 + varint_size(size) + size + sample);
    buf_put_u8(to, 0x0a);
    buf_put_counted(to, bytes_of(refs, size));
    put_sample(to, 0x12, h->bits, h->t_ms);
}

/* --- a scrape --------------------------------------------------------------------------------- */

static int64_t
due_ms(const struct shape *o, const struct active *a, uint64_t scrape)
{
    int64_t t_ms = o->start_ms + (int64_t)(scrape * o->interval_ms + a->offset_ms);
    uint64_t dice = hash_mix(hash_mix(a->offset_ms + a->copy, scrape), o->seed);
    return dice % JITTER_ONE_IN == 0 ? t_ms + (int64_t)(dice / JITTER_ONE_IN % JITTER_MS) : t_ms;
}

/* Returns how many scrapes later the sample is sent; 0: in time. */
static uint64_t
delay_of(const struct shape *o, uint64_t number, uint64_t scrape)
{
    uint64_t dice = hash_mix(hash_mix(number, scrape), ~o->seed);
    if ((double)(dice % 1000000) >= o->late * 10000) return 0;
    uint64_t delay = 1 + dice / 1000000 % LATE_SCRAPES;
    return delay < o->end - scrape ? delay : o->end - 1 - scrape;
}

static void
hold(struct held_list *list, struct held h)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        list->at = must(reallocarray(list->at, list->capacity, sizeof *list->at));
    }
    list->at[list->count++] = h;
}

struct making {
    uint64_t scrape;
    uint32_t samples;
    uint32_t symbols;
};

static void
put_held(struct share *s, struct making *m, const struct held *h)
{
    m->samples++;
    if (s->o->version == 2)
        put_series_2(s, &m->symbols, h);
    else
        put_series_1(&s->message, h);
}

static void
begin_request(struct share *s, struct making *m)
{
    m->samples = m->symbols = 0;
    buf_clear(&s->message);
    buf_clear(&s->series);
    if (s->o->version != 2) return;
    memset(s->local, 0, SYMBOL_SLOTS * sizeof *s->local);
    buf_put(&s->message, "\x22\x00", 2); /* symbol 0 is the empty text */
}

static void
end_request(struct share *s, const struct making *m)
{
    uint64_t at = s->store.size;
    buf_put_bytes(&s->message, buf_bytes(&s->series));
    if (buf_error(&s->message) || buf_error(&s->series) ||
        snappy_pack(buf_bytes(&s->message), &s->store))
        die("no memory");
    if (s->request_count == s->request_capacity) {
        s->request_capacity = s->request_capacity == 0 ? 1024 : s->request_capacity * 2;
        s->requests = must(reallocarray(s->requests, s->request_capacity, sizeof *s->requests));
    }
    s->requests[s->request_count++] =
        (struct request){at, (uint32_t)(s->store.size - at), m->samples, m->scrape};
}

/* Makes a request of the samples of its own series from..to-1, and an equal part of
 * the late ones. */
static void
make_request(struct share *s, struct making *m, uint64_t from, uint64_t to)
{
    const struct shape *o = s->o;
    struct held_list *due = &s->held[m->scrape % (LATE_SCRAPES + 1)];
    begin_request(s, m);
    for (uint64_t i = from; i < to; i++) {
        uint64_t number = s->first + i * o->connections;
        struct active *a = &s->active[number];
        struct held h = {a->labels, active_next(a), due_ms(o, a, m->scrape)};
        uint64_t delay = delay_of(o, number, m->scrape);
        if (delay == 0)
            put_held(s, m, &h);
        else
            hold(&s->held[(m->scrape + delay) % (LATE_SCRAPES + 1)], h);
    }
    uint32_t first = (uint32_t)(due->count * from / s->own);
    uint32_t end = (uint32_t)(due->count * to / s->own);
    for (uint32_t i = first; i < end; i++)
        put_held(s, m, &due->at[i]);
    if (m->samples > 0) end_request(s, m);
    if (to == s->own) due->count = 0;
}

/*
 * Targets are replaced whole: each once in the time that churn gives a series, at an offset of its
 * own.
 */
static bool
is_replaced(const struct shape *o, const struct active *a, uint64_t scrape)
{
    double lifetime_ms = 100 / o->churn * 3600000;
    double phase = (double)(a->target % 1000003) / 1000003;
    double now = (double)(scrape * o->interval_ms) / lifetime_ms + phase;
    return floor(now) > floor(now - (double)o->interval_ms / lifetime_ms);
}

static void
replace_some(struct share *s, uint64_t scrape)
{
    const struct shape *o = s->o;
    for (uint64_t i = 0; o->churn > 0 && scrape > 0 && i < s->own; i++) {
        uint64_t number = s->first + i * o->connections;
        struct active *a = &s->active[number];
        if (is_replaced(o, a, scrape)) active_replace(a, o->seed, number, &s->scratch);
    }
}

void
share_init(struct share *s, const struct shape *o, struct active *active, uint64_t first)
{
    *s = (struct share){.o = o, .active = active, .first = first};
    s->own = (o->series - first + o->connections - 1) / o->connections;
    buf_init(&s->scratch, NULL, 1 << 20);
    buf_init(&s->message, NULL, 1 << 30);
    buf_init(&s->series, NULL, 1 << 30);
    buf_init(&s->store, NULL, (size_t)1 << 36);
    if (o->version == 2) {
        s->local = must(calloc(SYMBOL_SLOTS, sizeof *s->local));
        s->slot = must(calloc(SYMBOL_SLOTS, sizeof *s->slot));
    }
    for (uint64_t scrape = 0; scrape < o->skip; scrape++) {
        replace_some(s, scrape);
        for (uint64_t i = 0; i < s->own; i++)
            active_next(&s->active[first + i * o->connections]);
    }
}

void
share_make(struct share *s, uint64_t from, uint64_t to)
{
    uint64_t requests = (s->own + s->o->batch - 1) / s->o->batch;
    s->request_count = 0;
    buf_clear(&s->store);
    for (uint64_t scrape = from; scrape < to; scrape++) {
        struct making m = {.scrape = scrape};
        replace_some(s, scrape);
        for (uint64_t r = 0; r < requests; r++)
            make_request(s, &m, s->own * r / requests, s->own * (r + 1) / requests);
    }
}
