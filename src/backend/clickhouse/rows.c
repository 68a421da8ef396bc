/* rows.c - see clickhouse_reader.h. A text or an array is a view of the piece it lies in; one that
 * continues in the next piece is put together in `rest`. */
#include "backend/clickhouse/clickhouse_reader.h"

#include "base/text/quote.h"
#include "wire/json/json_scan.h"
#include "wire/point/clickhouse_row.h"

enum { ROWS_TEXT_BYTES_MAX = CLICKHOUSE_TEXT_BYTES_MAX, TEXTS_MAX = 1 << 20 };

void
rows_init(struct rows *r, struct budget *budget)
{
    *r = (struct rows){.failed = OK};
    buf_init(&r->rest, budget, ROWS_TEXT_BYTES_MAX + 1);
}

void
rows_fini(struct rows *r)
{
    buf_fini(&r->rest);
}

void
rows_begin(struct rows *r, const char *kinds,
           enum err (*more)(void *context, struct bytes *ret_piece, struct why *why), void *context)
{
    r->more = more;
    r->context = context;
    r->kinds = kinds;
    r->piece = bytes_of(NULL, 0);
    r->ended = false;
    r->failed = OK;
    r->why.text[0] = '\0';
    r->tail_size = 0;
    buf_clear(&r->rest);
}

static void
fail(struct rows *r, enum err e, const char *sentence)
{
    if (r->failed) return;
    r->failed = why_set(&r->why, e, "%s", sentence);
}

static void
keep_tail(struct rows *r)
{
    struct bytes p = r->piece;
    if (p.size >= sizeof r->tail) {
        memcpy(r->tail, p.at + p.size - sizeof r->tail, sizeof r->tail);
        r->tail_size = sizeof r->tail;
        return;
    }
    size_t kept = sizeof r->tail - p.size;
    if (kept > r->tail_size) kept = r->tail_size;
    memmove(r->tail, r->tail + r->tail_size - kept, kept);
    if (p.size > 0) memcpy(r->tail + kept, p.at, p.size);
    r->tail_size = kept + p.size;
}

/* Gets the next piece that is not empty; false if there is none. */
static bool
next_piece(struct rows *r)
{
    if (r->failed || r->ended) return false;
    r->failed = r->more(r->context, &r->piece, &r->why);
    if (r->failed) return false;
    r->ended = r->piece.size == 0;
    if (!r->ended) keep_tail(r);
    return !r->ended;
}

/* Takes so many bytes, a view; NULL after a failure. */
static const uint8_t *
take(struct rows *r, size_t size)
{
    static const uint8_t nothing[1];
    if (r->failed) return NULL;
    if (size == 0) return nothing;
    if (r->piece.size >= size) {
        const uint8_t *at = r->piece.at;
        r->piece = bytes_of(at + size, r->piece.size - size);
        return at;
    }
    buf_clear(&r->rest);
    while (r->rest.size < size) {
        if (r->piece.size == 0 && !next_piece(r)) {
            fail(r, ERR_CORRUPT, "the response ends before its last row");
            return NULL;
        }
        size_t part = size - r->rest.size;
        if (part > r->piece.size) part = r->piece.size;
        buf_put(&r->rest, r->piece.at, part);
        r->piece = bytes_of(r->piece.at + part, r->piece.size - part);
        if (buf_error(&r->rest)) fail(r, ERR_NOMEM, "not enough memory for the response");
        if (r->failed) return NULL;
    }
    return r->rest.at;
}

static uint64_t
take_varint(struct rows *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 63; shift += 7) {
        const uint8_t *at = take(r, 1);
        if (at == NULL) return 0;
        v |= (uint64_t)(*at & 0x7f) << shift;
        if (*at < 0x80) return v;
    }
    fail(r, ERR_CORRUPT, "the response is not in the format RowBinary");
    return 0;
}

uint64_t
rows_number(struct rows *r)
{
    const uint8_t *at = take(r, 8);
    return at == NULL ? 0 : load_le64(at);
}

struct bytes
rows_text(struct rows *r)
{
    uint64_t size = take_varint(r);
    if (size > ROWS_TEXT_BYTES_MAX)
        fail(r, ERR_CORRUPT, "the response has a text that is too long");
    const uint8_t *at = take(r, (size_t)size);
    return at == NULL ? bytes_of("", 0) : bytes_of(at, (size_t)size);
}

uint32_t
rows_count(struct rows *r, uint32_t max)
{
    uint64_t count = take_varint(r);
    if (count > TEXTS_MAX) fail(r, ERR_CORRUPT, "the response has an array that is too long");
    if (count > max) fail(r, ERR_FULL, "too many samples for a block");
    return r->failed ? 0 : (uint32_t)count;
}

uint32_t
rows_numbers(struct rows *r, uint32_t max, struct buf *to)
{
    uint32_t count = rows_count(r, max);
    size_t left = (size_t)count * 8;
    buf_clear(to);
    if (left > 0 && !buf_reserve(to, left)) fail(r, ERR_NOMEM, "not enough memory for samples");
    while (left > 0 && r->failed == OK) {
        if (r->piece.size == 0 && !next_piece(r)) {
            fail(r, ERR_CORRUPT, "the response ends before its last row");
            break;
        }
        size_t part = left < r->piece.size ? left : r->piece.size;
        buf_put(to, r->piece.at, part);
        r->piece = bytes_of(r->piece.at + part, r->piece.size - part);
        left -= part;
    }
    return r->failed ? 0 : count;
}

/* Reads the last row, after which nothing may follow. */
static void
take_last(struct rows *r)
{
    for (const char *kind = r->kinds; *kind != '\0' && r->failed == OK; kind++) {
        switch ((enum rows_kind) * kind) {
        case ROWS_TEXT:
            (void)rows_text(r);
            break;
        case ROWS_NUMBER:
            (void)rows_number(r);
            break;
        case ROWS_NUMBERS:
        case ROWS_TEXTS:
            if (rows_count(r, UINT32_MAX) > 0)
                fail(r, ERR_CORRUPT, "the last row of the response is not empty");
            break;
        }
    }
    if (r->failed == OK && (r->piece.size > 0 || next_piece(r)))
        fail(r, ERR_CORRUPT, "the response goes on after its last row");
}

bool
rows_next(struct rows *r)
{
    const uint8_t *at = take(r, 1);
    if (at == NULL) return false;
    if (*at == 0) return true;
    if (*at == 1)
        take_last(r);
    else
        fail(r, ERR_CORRUPT, "the response is not in the format RowBinary");
    return false;
}

void
rows_drain(struct rows *r)
{
    size_t read = 0;
    if (r->failed != ERR_CORRUPT) return;
    struct why why = r->why;
    r->failed = OK;
    while (read < ROWS_DRAIN_BYTES && next_piece(r))
        read += r->piece.size;
    r->failed = ERR_CORRUPT; /* a connection that breaks off does not change that */
    r->why = why;
}

/* --- labels ----------------------------------------------------------------------------------- */

/* A value as text; empty for null. */
static struct bytes
take_value(struct scan *s)
{
    uint8_t first = scan_peek(s);
    if (first == '"') return scan_text(s);
    if (first == '{' || first == '[') {
        scan_fail(s, "a label's value is an object or an array");
        return bytes_of("", 0);
    }
    const uint8_t *from = s->at; /* blanks were skipped */
    scan_skip(s);
    if (s->bad != NULL || first == 'n') return bytes_of("", 0);
    return bytes_of(from, (size_t)(s->at - from));
}

enum err
label_text_read(struct bytes metric, struct bytes text, struct arena *arena, struct label *labels,
                uint32_t *ret_count, struct why *why)
{
    uint32_t n = 0;
    struct scan s = scan_of(text, arena);
    if (metric.size > 0) labels[n++] = (struct label){bytes_of_text("__name__"), metric};
    *ret_count = n;
    if (text.size == 0) return OK;
    scan_expect(&s, '{');
    for (struct bytes key; scan_key(&s, &key);) {
        struct bytes value = take_value(&s);
        if (s.bad != NULL || value.size == 0 || bytes_equal_text(key, "__name__")) continue;
        if (n == FINAL_LABELS_MAX)
            return why_set(why, ERR_LIMIT, "a series has more than %d labels", FINAL_LABELS_MAX);
        labels[n++] = (struct label){key, value};
    }
    scan_end(&s);
    *ret_count = n;
    if (s.bad == NULL) return OK;
    if (s.error == ERR_NOMEM) return why_set(why, ERR_NOMEM, "not enough memory for labels");
    return why_set(why, ERR_CORRUPT, "the labels of a row cannot be read: %s: %s", s.bad,
                   shown_of(text).text);
}
