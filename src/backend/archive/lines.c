/*
 * lines.c - see scan.h.
 *
 * Nearly all lines of an archive have the same form, and their labels repeat:
 *
 *     {"name":"up","time":1700000000000,"value":1,"labels":{...}}
 *     |--- name ---|      |--- time, value ---|   |--- tail ---|
 *
 * A line of this form is read here: name and tail are looked up by a hash of 128 bits with a secret
 * seed, and only a new tail, or another form, goes to the JSON reader (text_format.h). Its result
 * for a tail holds for every line with the same name and tail, if the tail has only labels:
 * find_known() and remember().
 */
#include "backend/archive/scan.h"

#include "backend/fetch/fetch_reader.h"
#include "base/buf.h"
#include "base/hash/hash.h"
#include "base/table.h"
#include "base/text/hex.h"
#include "model/sample.h"
#include "wire/json/json_scan.h"
#include "wire/number.h"
#include "wire/text/text_format.h"

struct lines_known {
    XXH128_hash_t hash;
    uint32_t number;
};

struct archive_lines {
    struct budget *budget;
    struct archive_line_sink sink;
    struct text_reader *reader;
    uint64_t seed;
    struct table table; /* positions in `known` by hash */
    struct lines_known *known;
    uint32_t known_count, known_capacity;
    struct buf carry; /* start of a record that continues */
    bool too_long;    /* the record in `carry` is too long */
    struct json_objects objects;
    uint64_t line;
    struct label labels[FINAL_LABELS_MAX];
};

enum err
archive_lines_new(struct budget *budget, uint64_t seed, const struct archive_line_sink *sink,
                  struct archive_lines **ret_lines)
{
    struct archive_lines *l = mem_new(budget, sizeof *l);
    if (l == NULL) return ERR_NOMEM;
    l->budget = budget;
    l->sink = *sink;
    l->seed = seed;
    buf_init(&l->carry, budget, ARCHIVE_LINE_BYTES_MAX);
    struct text_reader_options options = {.format = TEXT_NDJSON, .budget = budget};
    enum err e = text_reader_new(&options, &l->reader);
    if (e)
        archive_lines_free(l);
    else
        *ret_lines = l;
    return e;
}

void
archive_lines_free(struct archive_lines *l)
{
    if (l == NULL) return;
    text_reader_free(l->reader);
    table_fini(&l->table, l->budget);
    mem_free(l->budget, l->known, l->known_capacity * sizeof *l->known);
    buf_fini(&l->carry);
    mem_free(l->budget, l, sizeof *l);
}

void
archive_lines_forget(struct archive_lines *l)
{
    table_clear(&l->table);
    l->known_count = 0;
}

/* --- a line as most are written --------------------------------------------------------------- */

/* The parts of such a line, views of it. */
struct line_head {
    struct bytes name;
    struct bytes value; /* digits; empty for null */
    struct bytes bits;  /* 16 hex digits; `at` is NULL if missing */
    struct bytes tail;
    int64_t t_ms;
    int64_t start_ms;
    uint64_t value_bits; /* set by read_value() */
};

static bool
take(const uint8_t **at, const uint8_t *end, const char *text, size_t size)
{
    if ((size_t)(end - *at) < size || memcmp(*at, text, size) != 0) return false;
    *at += size;
    return true;
}
#define TAKE(at, end, text) take(at, end, text, sizeof(text) - 1)

/* Takes a JSON integer of at most 18 digits. */
static bool
take_integer(const uint8_t **at, const uint8_t *end, int64_t *ret)
{
    const uint8_t *p = *at;
    bool minus = p < end && *p == '-';
    p += minus;
    const uint8_t *first = p;
    int64_t value = 0;
    while (p < end && *p >= '0' && *p <= '9') {
        if (p - first == 18) return false;
        value = value * 10 + (*p++ - '0');
    }
    if (p == first || (*first == '0' && p - first > 1)) return false;
    *ret = minus ? -value : value;
    *at = p;
    return true;
}

static const uint8_t *
after_digits(const uint8_t *p, const uint8_t *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

/* Takes the text of a JSON number. */
static bool
take_number(const uint8_t **at, const uint8_t *end, struct bytes *ret)
{
    const uint8_t *p = *at;
    p += p < end && *p == '-';
    const uint8_t *digits = p;
    p = after_digits(p, end);
    if (p == digits || (*digits == '0' && p - digits > 1)) return false;
    if (p < end && *p == '.') {
        digits = p + 1;
        p = after_digits(digits, end);
        if (p == digits) return false;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        p += p < end && (*p == '-' || *p == '+');
        digits = p;
        p = after_digits(digits, end);
        if (p == digits) return false;
    }
    *ret = bytes_of(*at, (size_t)(p - *at));
    *at = p;
    return true;
}

static bool
read_head(struct bytes line, struct line_head *h)
{
    const uint8_t *p = line.at, *end = line.at + line.size;
    if (!TAKE(&p, end, "{\"name\":\"")) return false;
    const uint8_t *name = p;
    while (p < end && *p != '"' && *p != '\\')
        p++;
    h->name = bytes_of(name, (size_t)(p - name));
    h->start_ms = 0;
    h->bits = bytes_of(NULL, 0);
    h->value = bytes_of(NULL, 0);
    if (!TAKE(&p, end, "\",\"time\":") || !take_integer(&p, end, &h->t_ms) ||
        !TAKE(&p, end, ",\"value\":"))
        return false;
    if (TAKE(&p, end, "null")) {
        if (TAKE(&p, end, ",\"bits\":\"")) {
            if ((size_t)(end - p) < HEX_WORD_BYTES + 1) return false;
            h->bits = bytes_of(p, HEX_WORD_BYTES);
            p += HEX_WORD_BYTES;
            if (!TAKE(&p, end, "\"")) return false;
        }
    } else if (!take_number(&p, end, &h->value)) {
        return false;
    }
    if (TAKE(&p, end, ",\"start_ms\":") && !take_integer(&p, end, &h->start_ms)) return false;
    h->tail = bytes_of(p, (size_t)(end - p));
    return TAKE(&p, end, ",\"labels\":{");
}

/* Reads the value; false if it is out of range. */
static bool
read_value(struct line_head *h)
{
    if (h->bits.at != NULL) return hex_parse_word(h->bits, &h->value_bits);
    h->value_bits = NORMAL_NAN_BITS;
    return h->value.size == 0 ||
           number_parse((const char *)h->value.at, h->value.size, &h->value_bits);
}

static XXH128_hash_t
hash_of(const struct archive_lines *l, const struct line_head *h)
{
    XXH128_hash_t tail = XXH3_128bits_withSeed(h->tail.at, h->tail.size, l->seed);
    XXH128_hash_t name = XXH3_128bits_withSeed(h->name.at, h->name.size, tail.low64 ^ l->seed);
    tail.low64 = hash_mix(tail.low64, name.low64);
    tail.high64 = hash_mix(tail.high64, name.high64);
    return tail;
}

static const struct lines_known *
find_known(const struct archive_lines *l, XXH128_hash_t hash)
{
    for (uint32_t at = TABLE_START, id; table_next(&l->table, hash.low64, &at, &id);) {
        const struct lines_known *k = &l->known[id];
        if (k->hash.low64 == hash.low64 && k->hash.high64 == hash.high64) return k;
    }
    return NULL;
}

/* Remembers a tail, if there is memory. */
static void
remember(struct archive_lines *l, XXH128_hash_t hash, uint32_t number)
{
    if (l->known_count == l->known_capacity) {
        uint32_t capacity = l->known_capacity == 0 ? 1024 : 2 * l->known_capacity;
        struct lines_known *grown = mem_resize(
            l->budget, l->known, l->known_capacity * sizeof *grown, capacity * sizeof *grown);
        if (grown == NULL) return;
        l->known = grown;
        l->known_capacity = capacity;
    }
    if (!table_reserve(&l->table, l->budget, 1)) return;
    table_add(&l->table, hash.low64, l->known_count);
    l->known[l->known_count++] = (struct lines_known){hash, number};
}

/* --- a line ----------------------------------------------------------------------------------- */

static enum err
say_junk(struct archive_lines *l, const struct why *why)
{
    return l->sink.junk(l->sink.context, l->line, why);
}

static enum err
give_item(struct archive_lines *l, const struct text_item *item, uint32_t number, struct why *why)
{
    void *context = l->sink.context;
    if (item->histogram != NULL) {
        if (!l->sink.wants(context, number, item->histogram_ms)) return OK;
        return l->sink.histogram(context, number, item->histogram_ms, item->histogram,
                                 item->start_ms, why);
    }
    enum err e = OK;
    for (uint32_t i = 0; i < item->sample_count && e == OK; i++) {
        if (!l->sink.wants(context, number, item->times_ms[i])) continue;
        e = l->sink.number(context, number, item->times_ms[i], item->bits[i], item->start_ms, why);
    }
    return e;
}

/* True if the reader found the values of the head, so that the tail has only labels. */
static bool
agrees(const struct text_item *item, struct line_head *h)
{
    static const char bits[] = "\"bits\"";
    return item->sample_count == 1 && item->histogram == NULL && item->exemplar_count == 0 &&
           item->times_ms[0] == h->t_ms && item->start_ms == h->start_ms && read_value(h) &&
           item->bits[0] == h->value_bits &&
           memmem(h->tail.at, h->tail.size, bits, sizeof bits - 1) == NULL;
}

static enum err
read_slowly(struct archive_lines *l, struct bytes line, struct line_head *h, struct why *why)
{
    struct text_item item;
    struct why said = {""};
    uint32_t number;
    l->line++;
    if (line.size == 0) return OK;
    enum err e = text_reader_line(l->reader, line, &item, &said);
    if (e == ERR_NOMEM) return why_set(why, e, "not enough memory for a line");
    if (e) return say_junk(l, &said);
    if (item.junk) {
        (void)why_set(&said, ERR_INPUT, "row without a sample");
        return say_junk(l, &said);
    }
    if (item.sample_count == 0 && item.histogram == NULL)
        return OK; /* exemplars, or an empty line */
    if (item.label_count > FINAL_LABELS_MAX) {
        (void)why_set(&said, ERR_LIMIT, "more than %d labels", FINAL_LABELS_MAX);
        return say_junk(l, &said);
    }
    if (item.label_count > 0) /* the sink needs room */
        memcpy(l->labels, item.labels, item.label_count * sizeof *item.labels);
    if (l->known_count == ARCHIVE_TEXTS_MAX) {
        archive_lines_forget(l);
        l->sink.forget(l->sink.context);
    }
    e = l->sink.labels(l->sink.context, l->labels, item.label_count, &number, &said);
    if (e == ERR_CORRUPT || e == ERR_LIMIT) return say_junk(l, &said);
    if (e) return why_set(why, e, "%s", said.text);
    if (h != NULL && agrees(&item, h)) remember(l, hash_of(l, h), number);
    e = give_item(l, &item, number, why);
    return e == ERR_INPUT ? say_junk(l, why) : e;
}

static enum err
read_known(struct archive_lines *l, struct bytes line, struct line_head *h, uint32_t number,
           struct why *why)
{
    bool wanted = l->sink.wants(l->sink.context, number, h->t_ms);
    if (wanted && !read_value(h)) return read_slowly(l, line, NULL, why);
    l->line++;
    if (!wanted) return OK;
    return l->sink.number(l->sink.context, number, h->t_ms, h->value_bits, h->start_ms, why);
}

static enum err
read_line(struct archive_lines *l, struct bytes line, struct why *why)
{
    struct json_objects objects = {0};
    struct line_head h;
    bool usual = read_head(line, &h) && !(h.t_ms == 0 && h.value.size == 0 && h.bits.at == NULL);
    const struct lines_known *known = usual ? find_known(l, hash_of(l, &h)) : NULL;
    if (known != NULL) return read_known(l, line, &h, known->number, why);
    size_t size = json_objects_end(&objects, line);
    if (size == line.size) return read_slowly(l, line, usual ? &h : NULL, why);
    enum err e = OK;
    for (objects = (struct json_objects){0}; line.size > 0 && e == OK;) {
        size = json_objects_end(&objects, line);
        e = read_line(l, bytes_of(line.at, size), why); /* one record, so the recursion ends */
        line = bytes_of(line.at + size, line.size - size);
    }
    return e;
}

/* --- lines ------------------------------------------------------------------------------------ */

void
archive_lines_begin(struct archive_lines *l)
{
    buf_clear(&l->carry);
    l->too_long = false;
    l->objects = (struct json_objects){0};
    l->line = 0;
}

bool
archive_lines_is_between(const struct archive_lines *l)
{
    return l->carry.size == 0 && !l->too_long;
}

static enum err
end_line(struct archive_lines *l, struct why *why)
{
    struct why said;
    if (!l->too_long) return read_line(l, buf_bytes(&l->carry), why);
    l->line++;
    l->too_long = false;
    (void)why_set(&said, ERR_LIMIT, "the line is longer than %d bytes", ARCHIVE_LINE_BYTES_MAX);
    return say_junk(l, &said);
}

/* Keeps a part of a line. */
static enum err
carry(struct archive_lines *l, struct bytes part, struct why *why)
{
    if (!l->too_long) buf_put_bytes(&l->carry, part);
    enum err e = buf_error(&l->carry);
    if (e == ERR_NOMEM) return why_set(why, e, "not enough memory for a line");
    if (e) {
        l->too_long = true;
        buf_clear(&l->carry);
    }
    return OK;
}

enum err
archive_lines_give(struct archive_lines *l, struct bytes text, struct why *why)
{
    const uint8_t *at = text.at, *end = text.at + text.size, *feed = text.at;
    enum err e = OK;
    while (at < end && e == OK) {
        bool between = archive_lines_is_between(l);
        size_t left = (size_t)(end - at), size;
        if (feed != NULL && feed <= at) feed = memchr(at, '\n', left);
        if (feed != NULL && between)
            size = (size_t)(feed - at);
        else
            size = json_objects_end(&l->objects, bytes_of(at, left));
        if (size < left && between) {
            e = read_line(l, bytes_of(at, size), why);
        } else {
            e = carry(l, bytes_of(at, size), why);
            if (e == OK && size < left) {
                e = end_line(l, why);
                buf_clear(&l->carry);
            }
        }
        at += size;
        if (at < end && *at == '\n') at++;
    }
    return e;
}

enum err
archive_lines_end(struct archive_lines *l, struct why *why)
{
    enum err e = archive_lines_is_between(l) ? OK : end_line(l, why);
    buf_clear(&l->carry);
    return e;
}
