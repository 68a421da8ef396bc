/*
 * multipart.c - see multipart.h. A part begins after a line "--BOUNDARY" and ends before the line
 * end in front of the next such line; the last one is "--BOUNDARY--". Bytes before the first and
 * after the last are ignored. A body without its last delimiter was cut off, and is refused: a
 * query made of half a form would be another query.
 */
#include "api/request/multipart.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text/ascii.h"

static const char media_type[] = "multipart/form-data";

bool
multipart_is_type(const char *type)
{
    size_t size = sizeof media_type - 1;
    return strncasecmp(type, media_type, size) == 0 &&
           (type[size] == '\0' || strchr("; \t", type[size]) != NULL);
}

static bool
is_token_char(uint8_t c)
{
    return ascii_is_word(c) || (c != '\0' && strchr("!#$%&'*+-.^`|~", c) != NULL);
}

static void
skip_blanks(struct cursor *c)
{
    while (c->at != c->end && (*c->at == ' ' || *c->at == '\t')) {
        c->at++;
    }
}

static struct bytes
token(struct cursor *c)
{
    const uint8_t *begin = c->at;
    while (c->at != c->end && is_token_char(*c->at)) {
        c->at++;
    }
    return bytes_of(begin, (size_t)(c->at - begin));
}

static bool
is_word(struct bytes text, const char *word)
{
    size_t size = strlen(word);
    return text.size == size && strncasecmp((const char *)text.at, word, size) == 0;
}

/* Reads `; name=value` or `; name="value"`, whose escapes stay. False: there is no such text. */
static bool
parameter(struct cursor *c, struct bytes *ret_name, struct bytes *ret_value)
{
    skip_blanks(c);
    if (c->at == c->end || *c->at != ';') return false;
    c->at++;
    skip_blanks(c);
    *ret_name = token(c);
    if (ret_name->size == 0 || c->at == c->end || *c->at != '=') return false;
    c->at++;
    if (c->at == c->end || *c->at != '"') {
        *ret_value = token(c);
        return true;
    }
    const uint8_t *begin = ++c->at;
    while (c->at != c->end && *c->at != '"') {
        c->at += *c->at == '\\' && c->end - c->at > 1 ? 2 : 1;
    }
    *ret_value = bytes_of(begin, (size_t)(c->at - begin));
    if (c->at == c->end) return false;
    c->at++;
    return true;
}

size_t
multipart_unquote(struct bytes name, uint8_t *to)
{
    size_t size = 0;
    for (size_t i = 0; i < name.size; i++) {
        if (name.at[i] == '\\' && i + 1 < name.size) i++;
        to[size++] = name.at[i];
    }
    return size;
}

static bool
find_boundary(struct multipart *m, const char *content_type)
{
    struct cursor c = cursor_of(bytes_of_text(content_type + sizeof media_type - 1));
    struct bytes name, value;
    while (parameter(&c, &name, &value)) {
        if (!is_word(name, "boundary")) continue;
        if (value.size == 0 || value.size > MULTIPART_BOUNDARY_BYTES_MAX) return false;
        memcpy(m->delimiter, "--", 2);
        size_t size = multipart_unquote(value, (uint8_t *)m->delimiter + 2);
        assert(2 + size < sizeof m->delimiter);
        m->delimiter[2 + size] = '\0';
        return memchr(value.at, '\0', value.size) == NULL;
    }
    return false;
}

static struct bytes
from(struct bytes text, size_t at)
{
    return bytes_of(text.at + at, text.size - at);
}

/* Returns the size of a delimiter's line at the beginning of `text`; 0: it is another line.
 * `*ret_last`: it is the last delimiter, after which all bytes are ignored. */
static size_t
delimiter_line(const struct multipart *m, struct bytes text, bool *ret_last, bool *ret_lf)
{
    size_t size = strlen(m->delimiter);
    if (text.size < size || memcmp(text.at, m->delimiter, size) != 0) return 0;
    *ret_last = text.size >= size + 2 && memcmp(text.at + size, "--", 2) == 0;
    if (*ret_last) return size + 2;
    while (size < text.size && (text.at[size] == ' ' || text.at[size] == '\t')) {
        size++;
    }
    *ret_lf = size < text.size && text.at[size] == '\n';
    if (*ret_lf) return size + 1;
    bool crlf = text.size >= size + 2 && memcmp(text.at + size, "\r\n", 2) == 0;
    return crlf ? size + 2 : 0;
}

enum err
multipart_begin(struct multipart *m, const char *content_type, struct bytes body, struct why *why)
{
    *m = (struct multipart){.over = false};
    if (!find_boundary(m, content_type)) {
        return why_set(why, ERR_INPUT,
                       "error parsing form values: missing or invalid boundary "
                       "parameter in the Content-Type of the form");
    }
    for (size_t at = 0; at < body.size;) {
        size_t size = delimiter_line(m, from(body, at), &m->over, &m->lf);
        if (size > 0) {
            m->left = from(body, at + size);
            return OK;
        }
        const uint8_t *lf = memchr(body.at + at, '\n', body.size - at);
        if (lf == NULL) break;
        at = (size_t)(lf - body.at) + 1;
    }
    return why_set(why, ERR_INPUT,
                   "error parsing form values: the boundary of the form is not in its body");
}

/* Reads a line, without its end. False: the text has no more line ends. */
static bool
line(struct bytes *text, struct bytes *ret_line)
{
    const uint8_t *lf = text->size == 0 ? NULL : memchr(text->at, '\n', text->size);
    if (lf == NULL) return false;
    size_t size = (size_t)(lf - text->at);
    *ret_line = bytes_of(text->at, size > 0 && lf[-1] == '\r' ? size - 1 : size);
    *text = from(*text, size + 1);
    return true;
}

struct form_part {
    struct bytes name;
    bool is_field; /* its disposition names a field, and not a file */
    bool is_coded;
};

static void
look_at_header(struct bytes header, struct form_part *part)
{
    struct cursor c = cursor_of(header);
    struct bytes field = token(&c), name, value;
    if (c.at == c.end || *c.at++ != ':') return;
    skip_blanks(&c);
    struct bytes first = token(&c);
    if (is_word(field, "content-transfer-encoding")) {
        part->is_coded =
            !is_word(first, "7bit") && !is_word(first, "8bit") && !is_word(first, "binary");
    } else if (is_word(field, "content-disposition") && is_word(first, "form-data")) {
        bool is_file = false;
        while (parameter(&c, &name, &value)) {
            if (is_word(name, "name")) part->name = value;
            is_file = is_file || is_word(name, "filename") || is_word(name, "filename*");
        }
        part->is_field = part->name.size > 0 && !is_file;
    }
}

/* Reads up to the next delimiter and skips it. False: no delimiter follows. */
static bool
content(struct multipart *m, struct bytes *ret_value)
{
    struct bytes text = m->left;
    size_t end_bytes = m->lf ? 1 : 2, size = strlen(m->delimiter);
    for (size_t at = 0; at < text.size;) {
        const uint8_t *found = memmem(text.at + at, text.size - at, m->delimiter, size);
        if (found == NULL) return false;
        at = (size_t)(found - text.at);
        bool first = at == 0; /* an empty part may lack the line end of its own */
        bool after_line =
            first || (at >= end_bytes && found[-1] == '\n' && (m->lf || found[-2] == '\r'));
        bool last, lf;
        size_t line_size = after_line ? delimiter_line(m, from(text, at), &last, &lf) : 0;
        if (line_size > 0) {
            assert(first || at >= end_bytes);
            *ret_value = bytes_of(text.at, first ? 0 : at - end_bytes);
            m->left = from(text, at + line_size);
            m->over = last;
            return true;
        }
        at++;
    }
    return false;
}

enum err
multipart_next(struct multipart *m, struct bytes *ret_name, struct bytes *ret_value,
               struct why *why)
{
    *ret_name = *ret_value = bytes_of(NULL, 0);
    while (!m->over) {
        struct form_part part = {.is_field = false};
        struct bytes header, value;
        bool whole = line(&m->left, &header);
        while (whole && header.size > 0) {
            look_at_header(header, &part);
            whole = line(&m->left, &header);
        }
        if (!whole || !content(m, &value)) {
            return why_set(why, ERR_INPUT,
                           "error parsing form values: the form ends before its last boundary");
        }
        if (!part.is_field) continue;
        if (part.is_coded) {
            return why_set(why, ERR_INPUT,
                           "error parsing form values: Content-Transfer-Encoding of a field is not "
                           "supported");
        }
        *ret_name = part.name;
        *ret_value = value;
        return OK;
    }
    return OK;
}
