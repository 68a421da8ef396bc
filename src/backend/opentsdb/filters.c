/*
 * filters.c - matchers as OpenTSDB's filters ("Query Filters" of its user guide).
 *
 * A filter selects the series that its matcher does, or more: the result is filtered again. Each
 * filter except not_key selects only series that have the tag, so a matcher that admits the empty
 * text is left out: not_literal_or, which would lose series without the tag, is never sent.
 *
 *     a=""             not_key
 *     a="x", a=~"x|y"  literal_or(x|y) of all forms in which the texts may be stored
 *     a=~"x.*"         regexp, if Java and RE2 agree and no form changes its meaning
 *     else             wildcard(x*) if all values begin so, at least wildcard(*)
 *
 * literal_or fails if the server does not know one of the values; that value is then left out, and
 * after some of them iliteral_or is used instead, which compares texts without regard to case.
 */
#include "backend/opentsdb/opentsdb_reader.h"
#include "base/text/json.h"
#include "base/text/utf8.h"
#include "wire/escaped_name.h"
#include "wire/point/opentsdb_point.h"

/* --- stored texts ----------------------------------------------------------------------------- */

/*
 * A text is decoded if the decoded text would be written in the same way. Without that check `_41`
 * would be read as "A", and a search for `A` would not find it.
 */

enum { TEXT_BYTES_MAX = 1 << 20 };

/* As Prometheus' adapter writes it: a single digit for bytes below 0x10. */
static void
short_value_put(struct buf *to, struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < 0x10) {
            buf_put_u8(to, '_');
            buf_put_u8(to, (uint8_t) "0123456789ABCDEF"[text.at[i]]);
        } else {
            opentsdb_value_put(to, bytes_of(text.at + i, 1));
        }
    }
}

/* The bytes that were appended after it had this size. */
static struct bytes
added_to(const struct buf *to, size_t before)
{
    if (to->size == before) return bytes_of(NULL, 0); /* `to` may have no memory at all */
    return bytes_of(to->at + before, to->size - before);
}

static bool
is_same_again(struct bytes stored, struct bytes text, struct buf *room,
              void (*put)(struct buf *to, struct bytes text))
{
    buf_clear(room);
    put(room, text);
    return buf_error(room) == OK && bytes_equal(buf_bytes(room), stored);
}

enum err
stored_value_get(struct buf *to, struct bytes stored)
{
    size_t before = to->size;
    if (stored.size == 0 || memchr(stored.at, '_', stored.size) == NULL) {
        buf_put_bytes(to, stored); /* no form has fewer escapes */
        return buf_error(to);
    }
    enum err e = opentsdb_value_get(to, stored);
    if (e == OK) {
        struct bytes text = added_to(to, before);
        struct buf room;
        buf_init(&room, to->budget, TEXT_BYTES_MAX);
        bool right = is_same_again(stored, text, &room, opentsdb_value_put) ||
                     is_same_again(stored, text, &room, short_value_put);
        e = buf_error(&room);
        buf_fini(&room);
        if (e || right) return e;
        to->size = before;
    }
    if (e != OK && e != ERR_INPUT) return e;
    buf_put_bytes(to, stored);
    return buf_error(to);
}

enum err
stored_tag_get(struct buf *to, struct bytes stored)
{
    size_t before = to->size;
    struct buf room;
    enum err e = opentsdb_tag_get(to, stored);
    struct bytes text = added_to(to, before);
    if (e || bytes_equal(text, stored)) return e;
    buf_init(&room, to->budget, TEXT_BYTES_MAX);
    bool right = is_same_again(stored, text, &room, opentsdb_tag_put);
    e = buf_error(&room);
    buf_fini(&room);
    if (e || right) return e;
    to->size = before;
    buf_put_bytes(to, stored);
    return buf_error(to);
}

/* True if the stored text is read as the text. */
static bool
means(struct bytes stored, struct bytes text, struct buf *room)
{
    buf_clear(room);
    return stored_value_get(room, stored) == OK && bytes_equal(buf_bytes(room), text);
}

enum err
stored_value_forms(struct bytes text, struct buf *room, struct bytes forms[STORED_FORMS_MAX],
                   unsigned *ret_count)
{
    struct buf decoded;
    buf_clear(room);
    *ret_count = 0;
    if (!buf_reserve(room, 6 * text.size + 1)) return buf_error(room); /* views do not move */
    buf_init(&decoded, room->budget, TEXT_BYTES_MAX);
    opentsdb_value_put(room, text);
    forms[(*ret_count)++] = buf_bytes(room);
    size_t from = room->size;
    short_value_put(room, text);
    struct bytes candidates[] = {added_to(room, from), text};
    for (int i = 0; i < 2; i++) {
        bool is_new = !bytes_equal(candidates[i], forms[0]) &&
                      (*ret_count == 1 || !bytes_equal(candidates[i], forms[*ret_count - 1]));
        if (is_new && means(candidates[i], text, &decoded)) forms[(*ret_count)++] = candidates[i];
    }
    enum err e = err_first(buf_error(room), buf_error(&decoded));
    buf_fini(&decoded);
    return e;
}

size_t
stored_plain_size(struct bytes text)
{
    size_t size = 0;
    while (size < text.size) {
        uint8_t c = text.at[size];
        if (!ascii_is_letter(c) && !ascii_is_digit(c) && c != '-' && c != '.' && c != '/') break;
        size++;
    }
    return size;
}

/* --- filters ---------------------------------------------------------------------------------- */

enum {
    /* Sizes of one filter, and of all, which leave room for the metric in a request. */
    FILTER_BYTES_MAX = 2000,
    FILTERS_BYTES_MAX = 5000,
    PATTERN_BYTES_MAX = 500,
    REPETITIONS_MAX = 4,
};

bool
opentsdb_is_unknown(const struct opentsdb_question *q, enum opentsdb_refusal what,
                    struct bytes text)
{
    for (uint32_t i = 0; i < q->unknown_count; i++)
        if (q->unknown[i].what == what && bytes_equal(q->unknown[i].text, text)) return true;
    return false;
}

static void
put_filter(struct buf *to, const char *type, struct bytes tag, struct bytes filter)
{
    struct json json;
    if (to->size > 0) buf_put_u8(to, ',');
    json_init(&json, to);
    json_object_open(&json);
    json_member_text(&json, "type", type);
    json_member_bytes(&json, "tagk", tag);
    json_member_bytes(&json, "filter", filter);
    json_member_bool(&json, "groupBy", false);
    json_object_close(&json);
}

/* --- values ----------------------------------------------------------------------------------- */

/* Joins the forms of a matcher's values by '|' in q->base.text. *ret_sent is false if they cannot
 * be sent. */
static enum err
join_values(struct opentsdb_question *q, const struct bytes *values, uint32_t count, bool *ret_sent,
            uint32_t *ret_count)
{
    uint32_t max = q->base.of->options.settings->u.opentsdb.expansion_limit;
    struct bytes forms[STORED_FORMS_MAX];
    unsigned form_count;
    buf_clear(&q->base.text);
    *ret_sent = false;
    *ret_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        enum err e = stored_value_forms(values[i], &q->room, forms, &form_count);
        if (e) return e;
        for (unsigned k = 0; k < form_count; k++) {
            if (memchr(forms[k].at, '|', forms[k].size) != NULL) return OK;
            if (opentsdb_is_unknown(q, REFUSED_UNKNOWN_VALUE, forms[k])) continue;
            if (++*ret_count > max) return OK;
            if (*ret_count > 1) buf_put_u8(&q->base.text, '|');
            buf_put_bytes(&q->base.text, forms[k]);
            if (q->base.text.size > FILTER_BYTES_MAX) return OK;
        }
    }
    *ret_sent = true;
    return buf_error(&q->base.text);
}

/* --- regexes ---------------------------------------------------------------------------------- */

/* Translates a regex into Java's syntax, into q->base.text, such that it matches each form of the
 * values that it matches here. False if that is not certain. Letters, digits and `-/` are the same
 * in all forms, any text becomes any text, `_` is one or two. A repetition of a group is not
 * translated: Java tries all ways to match, which may take the server for ever. */
static bool
translate_regex(struct opentsdb_question *q, struct bytes pattern)
{
    struct buf *to = &q->base.text;
    unsigned repetitions = 0;
    bool repeatable = false; /* the piece before is one plain character */
    if (pattern.size == 0 || pattern.size > PATTERN_BYTES_MAX) return false;
    buf_clear(to);
    buf_put_text(to, "^(?:");
    for (size_t i = 0; i < pattern.size; i++) {
        uint8_t c = pattern.at[i], next = i + 1 < pattern.size ? pattern.at[i + 1] : 0;
        bool is_plain = ascii_is_letter(c) || ascii_is_digit(c) || c == '-' || c == '/';
        if (is_plain) {
            buf_put_u8(to, c);
        } else if (c == '\\' && (next == '.' || next == '-' || next == '/')) {
            buf_put(to, pattern.at + i++, 2);
            is_plain = true;
        } else if (c == '.' && (next == '*' || next == '+')) {
            buf_put(to, pattern.at + i++, 2);
            repetitions++;
        } else if (c == '_' || c == ':') {
            buf_put_text(to, c == '_' ? "__?" : "(?:_\\.|:)");
        } else if (c == '(') {
            if (next == '?' && (i + 2 >= pattern.size || pattern.at[i + 2] != ':')) return false;
            buf_put_text(to, "(?:");
            if (next == '?') i += 2;
        } else if (c == ')' || c == '|') {
            buf_put_u8(to, c);
        } else if ((c == '*' || c == '+' || c == '?') && repeatable) {
            buf_put_u8(to, c);
            repetitions++;
        } else {
            return false;
        }
        repeatable = is_plain;
    }
    buf_put_text(to, ")$");
    return repetitions <= REPETITIONS_MAX;
}

/* --- a matcher -------------------------------------------------------------------------------- */

static bool
is_of_empty_only(const struct matcher *m)
{
    const struct bytes *values;
    return fetch_is_positive(m) && matcher_literals(m, &values) == 1 && values[0].size == 0;
}

static enum err
put_matcher(struct opentsdb_question *q, struct buf *to, const struct matcher *m, bool *ret_none)
{
    struct bytes tag = matcher_name(m);
    const struct bytes *values;
    bool sent = false, is_known = !opentsdb_is_unknown(q, REFUSED_UNKNOWN_TAG, tag);
    uint32_t count = matcher_literals(m, &values), forms = 0;
    if (is_of_empty_only(m)) {
        if (is_known) put_filter(to, "not_key", tag, bytes_of("", 0));
        return OK;
    }
    if (matcher_matches_empty(m)) return OK;
    if (!is_known) {
        *ret_none = true;
        return OK;
    }
    if (fetch_is_positive(m) && count > 0) {
        enum err e = join_values(q, values, count, &sent, &forms);
        if (e) return e;
        if (sent && forms == 0) *ret_none = true;
        if (sent && forms > 0) {
            bool by_id = q->unknown_values <= OPENTSDB_UNKNOWN_VALUES_MAX;
            put_filter(to, by_id ? "literal_or" : "iliteral_or", tag, buf_bytes(&q->base.text));
        }
    } else if (matcher_type(m) == MATCH_REGEX && translate_regex(q, matcher_pattern(m))) {
        sent = true;
        put_filter(to, "regexp", tag, buf_bytes(&q->base.text));
    }
    if (!sent) {
        /* Puts wildcard(x*) with the prefix that all values have in all forms. */
        struct bytes prefix = fetch_is_positive(m) ? matcher_prefix(m) : bytes_of(NULL, 0);
        size_t size = stored_plain_size(prefix);
        buf_clear(&q->base.text);
        if (size <= FILTER_BYTES_MAX) buf_put(&q->base.text, prefix.at, size);
        buf_put_u8(&q->base.text, '*');
        put_filter(to, "wildcard", matcher_name(m), buf_bytes(&q->base.text));
    }
    return buf_error(&q->base.text);
}

enum err
opentsdb_filters_put(struct opentsdb_question *q, struct buf *to, bool *ret_none, struct why *why)
{
    bool raw = q->base.of->options.settings->u.opentsdb.escaping == OPENTSDB_ESCAPING_PROMETHEUS;
    enum err e = OK;
    *ret_none = false;
    for (uint32_t i = 0; i < q->base.matcher_count && e == OK; i++) {
        const struct matcher *m = q->base.matchers[i];
        struct bytes name = matcher_name(m);
        /* The tag of another name may have several forms. */
        bool plain = name_is_plain(name, false) && (raw || !name_looks_escaped(name));
        size_t before = to->size;
        if (fetch_is_of_name(m) || !plain) continue;
        e = put_matcher(q, to, m, ret_none);
        if (to->size > FILTERS_BYTES_MAX) to->size = before;
    }
    e = err_first(e, buf_error(to));
    return e ? fetch_no_request_memory(why) : OK;
}
