/*
 * letter_line.c - see letters.h. The sample is written and read by the code of exports, bit for
 * bit; the other members are read by a second scan of the line. A checksum ends it, as files lie on
 * disks for months.
 */
#include "relay/letters/letters.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/common/pack.h"
#include "base/buf.h"
#include "base/hash/crc32c.h"
#include "base/hash/hash.h"
#include "base/text/hex.h"
#include "base/text/json.h"
#include "base/text/time_text.h"
#include "base/text/utf8.h"
#include "model/labels.h"
#include "relay/state/state.h"
#include "wire/json/json_scan.h"
#include "wire/text/text_format.h"

/* The end of a line: the checksum of all of it before the comma. */
#define CRC_FORMAT ",\"crc\":\"%08" PRIx32 "\"}\n"

enum { CRC_BYTES = 18, ARENA_BYTES_MAX = 16 << 20, TEXT_BYTES = 64 * 1024 };

/* --- writing ---------------------------------------------------------------------------------- */

/* Puts a member, in hex under another name if its bytes are not UTF-8. */
static void
put_member(struct buf *to, const char *name, struct bytes text)
{
    bool is_text = utf8_valid(text);
    buf_printf(to, "\"%s%s\":", name, is_text ? "" : "_hex");
    if (is_text) {
        json_print_string(to, text);
        return;
    }
    buf_put_u8(to, '"');
    buf_put_hex(to, text);
    buf_put_u8(to, '"');
}

void
letter_line_put(struct buf *to, const struct dead_letter *letter)
{
    const struct item *item = &letter->item;
    size_t before = to->size;
    if (item->kind == ITEM_METADATA) {
        buf_put_u8(to, '{');
        put_member(to, "family", item->family);
        buf_printf(to, ",\"type\":\"%s\",", metric_type_word(item->family_type));
        put_member(to, "help", item->help);
        buf_put_u8(to, ',');
        put_member(to, "unit", item->unit);
    } else {
        item_ndjson_put(to, item);
        if (buf_error(to) == OK) to->size -= sizeof "}\n" - 1;
    }
    buf_put_u8(to, ',');
    put_member(to, "tenant", item->tenant);
    buf_put_u8(to, ',');
    put_member(to, "reason", letter->reason);
    buf_put_u8(to, ',');
    put_member(to, "answer", letter->answer);
    buf_printf(to, ",\"failed_ms\":%" PRId64 ",\"id\":\"%" PRIu64 ".%" PRIu32 "\"",
               letter->failed_ms, item->pos, item->index);
    if (buf_error(to) == OK) {
        uint32_t crc = crc32c(0, bytes_of(to->at + before, to->size - before));
        buf_printf(to, CRC_FORMAT, crc);
    }
    if (buf_error(to)) to->size = before;
}

/* --- reading ---------------------------------------------------------------------------------- */

struct letter_reader {
    struct budget *memory;
    struct text_reader *text;
    struct arena arena;
    struct buf labels, exemplar_labels;
};

enum err
letter_reader_new(struct budget *memory, struct letter_reader **ret_reader)
{
    struct letter_reader *r = mem_new(memory, sizeof *r);
    struct text_reader_options options = {.format = TEXT_NDJSON, .budget = memory};
    if (r == NULL) return ERR_NOMEM;
    r->memory = memory;
    arena_init(&r->arena, memory, ARENA_BYTES_MAX, 0);
    buf_init(&r->labels, memory, LETTER_LINE_BYTES_MAX);
    buf_init(&r->exemplar_labels, memory, LETTER_LINE_BYTES_MAX);
    enum err e = text_reader_new(&options, &r->text);
    if (e) {
        letter_reader_free(r);
        return e;
    }
    *ret_reader = r;
    return OK;
}

void
letter_reader_free(struct letter_reader *r)
{
    if (r == NULL) return;
    text_reader_free(r->text);
    arena_fini(&r->arena);
    buf_fini(&r->labels);
    buf_fini(&r->exemplar_labels);
    mem_free(r->memory, r, sizeof *r);
}

static struct bytes
scan_hex(struct scan *s)
{
    struct bytes text = scan_text(s);
    uint8_t *at = scan_alloc(s, text.size / 2 + 1, "not enough memory for a text");
    if (at == NULL) return bytes_of(NULL, 0);
    if (!hex_parse(text, at)) scan_fail(s, "expected hex digits");
    return bytes_of(at, text.size / 2);
}

static uint64_t
scan_uint(struct bytes digits, size_t *at)
{
    uint64_t v = 0;
    for (; *at < digits.size && digits.at[*at] >= '0' && digits.at[*at] <= '9'; ++*at)
        v = 10 * v + (digits.at[*at] - '0');
    return v;
}

/* Texts, which are in hex in a member of another name if they are not UTF-8. */
enum letter_text_member { TENANT, REASON, ANSWER, FAMILY, HELP, UNIT, TEXT_COUNT };
enum letter_member { FAILED_MS = 2 * TEXT_COUNT, ID, TYPE, MEMBER_COUNT };

/* Reads the members that samples of an export do not have. */
static enum err
read_members(struct letter_reader *r, struct bytes line, struct dead_letter *letter)
{
    static const struct bytes NAMES[MEMBER_COUNT] = {
        SCAN_NAME("tenant"),     SCAN_NAME("reason"),     SCAN_NAME("answer"),
        SCAN_NAME("family"),     SCAN_NAME("help"),       SCAN_NAME("unit"),
        SCAN_NAME("tenant_hex"), SCAN_NAME("reason_hex"), SCAN_NAME("answer_hex"),
        SCAN_NAME("family_hex"), SCAN_NAME("help_hex"),   SCAN_NAME("unit_hex"),
        SCAN_NAME("failed_ms"),  SCAN_NAME("id"),         SCAN_NAME("type"),
    };
    struct item *item = &letter->item;
    struct bytes *const texts[TEXT_COUNT] = {&item->tenant, &letter->reason, &letter->answer,
                                             &item->family, &item->help,     &item->unit};
    struct scan s = scan_of(line, &r->arena);
    struct bytes key;
    unsigned seen = 0;
    scan_expect(&s, '{');
    while (scan_key(&s, &key)) {
        unsigned i = scan_which(&s, key, NAMES, MEMBER_COUNT, &seen, "duplicate key");
        if (i < TEXT_COUNT) {
            *texts[i] = scan_text(&s);
        } else if (i < 2 * TEXT_COUNT) {
            *texts[i - TEXT_COUNT] = scan_hex(&s);
        } else if (i == FAILED_MS) {
            int64_t ms = 0;
            struct bytes digits = scan_number(&s);
            if (s.bad == NULL && !time_parse_ms(digits, &ms))
                scan_fail(&s, "time is not an integer");
            letter->failed_ms = ms;
        } else if (i == ID) {
            struct bytes text = scan_text(&s); /* "POS.INDEX" */
            size_t at = 0;
            item->pos = scan_uint(text, &at);
            at++;
            item->index = (uint32_t)scan_uint(text, &at);
        } else if (i == TYPE) {
            struct bytes word = scan_text(&s);
            item->family_type = METRIC_UNKNOWN;
            for (unsigned type = 0; type < METRIC_TYPE_COUNT; type++)
                if (bytes_equal_text(word, metric_type_word((enum metric_type)type)))
                    item->family_type = (enum metric_type)type;
        } else {
            scan_skip(&s);
        }
    }
    scan_end(&s);
    if (s.bad != NULL) return s.error == ERR_NOMEM ? ERR_NOMEM : ERR_CORRUPT;
    enum { METADATA = 1u << FAMILY | 1u << (FAMILY + TEXT_COUNT) };
    if ((seen & METADATA) != 0) item->kind = ITEM_METADATA;
    return (seen & 1u << FAILED_MS) != 0 ? OK : ERR_CORRUPT;
}

static int
by_name(const void *a, const void *b)
{
    const struct label *x = a, *y = b;
    return bytes_compare(x->name, y->name);
}

/* labels_build() is for labels of senders: it refuses some that are stored all the same. */
static enum err
build(struct buf *to, struct label *labels, uint32_t count)
{
    buf_clear(to);
    if (count > 0) qsort(labels, count, sizeof *labels, by_name);
    for (uint32_t i = 0; i < count; i++)
        labels_put(to, labels[i]);
    if (buf_error(to)) return ERR_NOMEM;
    return labels_valid(buf_bytes(to)) ? OK : ERR_CORRUPT;
}

enum err
letter_reader_line(struct letter_reader *r, struct bytes line, struct dead_letter *ret_letter)
{
    struct dead_letter letter = {.item = {.kind = ITEM_FLOAT}};
    struct item *item = &letter.item;
    struct text_item text;
    char end[CRC_BYTES + 2];
    if (line.size > 0 && line.at[line.size - 1] == '\n') line.size--;
    if (line.size <= CRC_BYTES) return ERR_CORRUPT;
    uint32_t crc = crc32c(0, bytes_of(line.at, line.size - CRC_BYTES));
    snprintf(end, sizeof end, CRC_FORMAT, crc);
    if (memcmp(line.at + line.size - CRC_BYTES, end, CRC_BYTES) != 0) return ERR_CORRUPT;
    arena_reset_to(&r->arena, TEXT_BYTES);
    enum err e = read_members(r, line, &letter);
    if (e) return e;
    if (item->kind == ITEM_METADATA) {
        item->series_hash = hash_bytes(item->family, hash_bytes(item->tenant, 0));
        *ret_letter = letter;
        return OK;
    }
    e = text_reader_line(r->text, line, &text, NULL);
    if (e) return e == ERR_NOMEM ? e : ERR_CORRUPT;
    e = build(&r->labels, text.labels, text.label_count);
    if (e) return e;
    item->labels = buf_bytes(&r->labels);
    item->series_hash = hash_bytes(item->labels, hash_bytes(item->tenant, 0));
    item->start_ms = text.start_ms;
    if (text.histogram != NULL) {
        item->kind = ITEM_HISTOGRAM;
        item->histogram = text.histogram;
        item->t_ms = text.histogram_ms;
        if (histogram_check(text.histogram, NULL) != OK) return ERR_CORRUPT;
    } else if (text.exemplar_count == 1) {
        const struct text_exemplar *x = text.exemplars;
        item->kind = ITEM_EXEMPLAR;
        item->t_ms = x->t_ms;
        item->bits = x->bits;
        e = build(&r->exemplar_labels, x->labels, x->label_count);
        item->exemplar_labels = buf_bytes(&r->exemplar_labels);
    } else if (text.sample_count == 1) {
        item->t_ms = text.times_ms[0];
        item->bits = text.bits[0];
    } else {
        return ERR_CORRUPT;
    }
    if (e == OK) *ret_letter = letter;
    return e;
}

/* --- the text of a file ----------------------------------------------------------------------- */

enum err
letter_text_open(struct letter_text *t, struct env *env, const char *dir, uint32_t number,
                 struct budget *memory, struct why *why)
{
    char name[LETTER_NAME_BYTES], path[FILE_PATH_BYTES];
    *t = (struct letter_text){.env = env, .memory = memory, .file = FILE_CLOSED};
    buf_init(&t->packed, memory, TEXT_BYTES);
    buf_init(&t->carry, memory, LETTER_LINE_BYTES_MAX);
    enum err e = ERR_MISSING;
    for (int packed = 0; packed < 2 && e == ERR_MISSING; packed++) {
        letter_name(number, packed == 1, name);
        e = path_in(path, sizeof path, dir, name, why);
        if (e == OK) e = file_open(env, path, FILE_READ, &t->file, why);
    }
    if (e) return e;
    e = archive_unpacker_new(memory, &t->unpacker);
    if (e) return why_set(why, e, "%s: not enough memory to read it", path);
    archive_unpacker_begin(t->unpacker);
    return OK;
}

void
letter_text_close(struct letter_text *t)
{
    if (t->env == NULL) return;
    err_ignore(file_close(&t->file), "only read");
    archive_unpacker_free(t->unpacker);
    buf_fini(&t->packed);
    buf_fini(&t->carry);
    t->env = NULL;
}

/* Adds more text to `carry`. ERR_MISSING: there is no more. */
static enum err
more_text(struct letter_text *t, struct why *why)
{
    struct bytes text;
    enum err e = archive_unpacker_take(t->unpacker, &text, why);
    if (e) return e;
    if (text.size == 0) {
        size_t size = 0;
        buf_clear(&t->packed);
        if (!buf_reserve(&t->packed, TEXT_BYTES)) return ERR_NOMEM;
        e = file_read_some(&t->file, t->packed.at, TEXT_BYTES, t->offset, &size, why);
        if (e) return e;
        if (size == 0) {
            e = archive_unpacker_end(t->unpacker, why);
            return e ? e : ERR_MISSING;
        }
        t->offset += size;
        t->packed.size = size;
        archive_unpacker_give(t->unpacker, buf_bytes(&t->packed));
        return OK;
    }
    if (t->carry_at > 0) {
        memmove(t->carry.at, t->carry.at + t->carry_at, t->carry.size - t->carry_at);
        t->carry.size -= t->carry_at;
        t->carry_at = 0;
    }
    buf_put_bytes(&t->carry, text);
    e = buf_error(&t->carry);
    return e == ERR_LIMIT ? ERR_CORRUPT : e;
}

enum err
letter_text_line(struct letter_text *t, struct bytes *ret_line, struct why *why)
{
    size_t searched = t->carry_at;
    for (;;) {
        size_t left = t->carry.size - searched;
        const uint8_t *end = left == 0 ? NULL : memchr(t->carry.at + searched, '\n', left);
        if (end != NULL) {
            const uint8_t *at = t->carry.at + t->carry_at;
            *ret_line = bytes_of(at, (size_t)(end + 1 - at));
            t->carry_at += ret_line->size;
            return OK;
        }
        size_t known = t->carry.size - t->carry_at;
        enum err e = more_text(t, why);
        if (e) return e;
        searched = t->carry_at + known;
    }
}

enum err
letter_range_each(const struct letter_range *range, struct letter_file *counted, struct why *why)
{
    struct letter_reader *reader = NULL;
    struct letter_text text;
    struct bytes line;
    uint64_t at = 0;
    enum err said = OK;
    enum err e =
        letter_text_open(&text, range->env, range->dir, counted->number, range->memory, why);
    if (e == OK) e = letter_reader_new(range->memory, &reader);
    if (e == ERR_NOMEM) why_set(why, e, "not enough memory to read dead letters");
    while (e == OK && said == OK && at < range->to &&
           (e = letter_text_line(&text, &line, why)) == OK) {
        struct dead_letter letter;
        at += line.size;
        if (at <= range->from) continue;
        e = letter_reader_line(reader, line, &letter);
        if (e == OK) letter_file_count(counted, letter.item.kind, letter.failed_ms);
        if (e == OK && range->each != NULL)
            said = range->each(range->context, &letter, line, range->again);
        if (e == ERR_CORRUPT) e = OK;
    }
    counted->bytes = at;
    letter_reader_free(reader);
    letter_text_close(&text);
    if (said) return said;
    return e == ERR_MISSING || e == ERR_CORRUPT ? OK : e;
}
