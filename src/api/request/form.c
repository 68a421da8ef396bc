/* form.c - copies a form once; its fields are views of the copy. */
#include "api/request/read_request.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text/hex.h"
#include "base/text/quote.h"
#include "base/text/time_text.h"
#include "base/text/utf8.h"
#include "wire/number.h"

/* Unescapes in place. ERR_INPUT: a % without two digits, or a NUL. */
static enum err
unescape(char *text, struct why *why)
{
    char *to = text;
    size_t left = strlen(text);
    for (size_t step; left > 0; text += step, left -= step) {
        uint8_t c;
        step = percent_step((const uint8_t *)text, left, &c);
        if (step == 0 || c == '\0') {
            return why_set(why, ERR_INPUT, "error parsing form values: invalid URL escape \"%.3s\"",
                           text);
        }
        *to++ = *text == '+' ? ' ' : (char)c;
    }
    *to = '\0';
    return OK;
}

static enum err
read_urlencoded(struct form *ret, struct bytes body, struct why *why)
{
    size_t count = 1;
    for (size_t i = 0; i < body.size; i++)
        count += body.at[i] == '&';
    char *text = arena_alloc(&ret->arena, body.size + 1);
    ret->fields = arena_alloc(&ret->arena, count * sizeof *ret->fields);
    if (text == NULL || ret->fields == NULL)
        return why_set(why, ERR_NOMEM, "not enough memory for the form");
    memcpy(text, body.at, body.size);
    text[body.size] = '\0';
    enum err e = OK;
    for (char *next; text != NULL && e == OK; text = next) {
        next = strchr(text, '&');
        if (next != NULL) *next++ = '\0';
        if (text[0] == '\0') continue;
        char *value = strchr(text, '=');
        if (value != NULL) *value++ = '\0';
        e = unescape(text, why);
        if (e == OK && value != NULL) e = unescape(value, why);
        assert(ret->count < count); /* one more than the separators */
        ret->fields[ret->count++] = (struct form_field){text, value == NULL ? "" : value};
    }
    return e;
}

enum err
form_read(const struct http_request *request, struct budget *budget, struct form *ret,
          struct why *why)
{
    static const char form_type[] = "application/x-www-form-urlencoded";
    static const char parts_type[] = "multipart/form-data";
    const char *type = http_header(request, "Content-Type");
    struct bytes body = http_body(request);
    *ret = (struct form){.request = request};
    arena_init(&ret->arena, budget, 0, 0);
    if (type == NULL || body.size == 0) return OK;
    if (strncasecmp(type, parts_type, sizeof parts_type - 1) == 0)
        return why_set(why, ERR_INPUT, "a form of type %s is not supported: send %s", parts_type,
                       form_type);
    if (strncasecmp(type, form_type, sizeof form_type - 1) != 0 || http_method(request) == HTTP_GET)
        return OK;
    if (memchr(body.at, '\0', body.size) != NULL)
        return why_set(why, ERR_INPUT, "error parsing form values: NUL is not allowed");
    return read_urlencoded(ret, body, why);
}

enum err
form_check_query(const struct form *form, struct why *why)
{
    const char *wrong = http_query_wrong(form->request);
    if (wrong == NULL) return OK;
    return why_set(why, ERR_INPUT, "error parsing form values: %s", wrong);
}

void
form_fini(struct form *form)
{
    arena_fini(&form->arena);
}

static const char *
next_field(const struct form *form, const char *name, struct form_walk *walk)
{
    while (walk->fields < form->count) {
        const struct form_field *field = &form->fields[walk->fields++];
        if (strcmp(field->name, name) == 0) return field->value;
    }
    return NULL;
}

const char *
form_next(const struct form *form, const char *name, struct form_walk *walk)
{
    const char *value = next_field(form, name, walk);
    return value != NULL ? value : http_argument_next(form->request, name, &walk->arguments);
}

const char *
form_next_of(const struct form *form, enum form_place place, const char *name,
             struct form_walk *walk)
{
    return place == FORM_BODY ? next_field(form, name, walk)
                              : http_argument_next(form->request, name, &walk->arguments);
}

const char *
form_nth(const struct form *form, const char *name, uint32_t nth)
{
    struct form_walk walk = {0};
    const char *value = form_next(form, name, &walk);
    while (value != NULL && nth-- > 0)
        value = form_next(form, name, &walk);
    return value;
}

const char *
form_given(const struct form *form, const char *name)
{
    const char *value = form_nth(form, name, 0);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

/* --- kinds ------------------------------------------------------------------------------------ */

enum err
form_invalid(struct buf *error, const char *name, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_printf(error, "invalid parameter \"%s\": %s", name, text);
    return ERR_INPUT;
}

const char *
form_whole(const char *text, unsigned bits, int64_t *ret_number)
{
    const uint64_t max = UINT64_C(1) << (bits - 1);
    uint64_t number = 0;
    bool negative = text[0] == '-', fits = true;
    if (text[0] == '-' || text[0] == '+') text++;
    if (text[0] == '\0') return "invalid syntax";
    for (; *text != '\0'; text++) {
        if (!ascii_is_digit((uint8_t)*text)) return "invalid syntax";
        fits = fits && !__builtin_mul_overflow(number, 10, &number) &&
               !__builtin_add_overflow(number, (uint64_t)(*text - '0'), &number);
    }
    if (!fits || number > max || (number == max && !negative)) return "value out of range";
    *ret_number = (int64_t)(negative ? -number : number);
    return NULL;
}

bool
form_parse_time(const char *text, int64_t *ret_ms)
{
    char plain[64];
    uint64_t bits;
    if (time_parse_api(bytes_of_text(text), ret_ms)) return true;
    if (!number_parse_go(text, strlen(text), &bits)) return false;
    snprintf(plain, sizeof plain, "%.17g", bits_double(bits));
    return time_parse_api(bytes_of_text(plain), ret_ms);
}

enum err
form_time(const struct form *form, const char *name, int64_t *ret_ms, struct buf *error)
{
    const char *text = form_given(form, name);
    if (text == NULL || form_parse_time(text, ret_ms)) return OK;
    enum err e = form_invalid(error, name, "invalid time value for '%s': cannot parse ", name);
    quote_text(error, bytes_of_text(text));
    buf_put_text(error, " to a valid timestamp");
    return e;
}

enum err
form_limit(const struct form *form, uint64_t *ret_limit, struct buf *error)
{
    int64_t limit;
    const char *text = form_given(form, "limit");
    if (text == NULL) return OK;
    const char *wrong = form_whole(text, 64, &limit);
    if (wrong != NULL) {
        enum err e = form_invalid(error, "limit", "strconv.Atoi: parsing ");
        quote_text(error, bytes_of_text(text));
        buf_printf(error, ": %s", wrong);
        return e;
    }
    if (limit < 0) return form_invalid(error, "limit", "limit must be non-negative");
    *ret_limit = (uint64_t)limit;
    return OK;
}

enum err
form_bool(const struct form *form, const char *name, bool *ret, struct buf *error)
{
    static const char *const words[] = {"0",     "1",    "f",     "t",    "F",     "T",
                                        "false", "true", "FALSE", "TRUE", "False", "True"};
    const char *text = form_given(form, name);
    if (text == NULL) return OK;
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i]) != 0) continue;
        *ret = i % 2 == 1;
        return OK;
    }
    enum err e = form_invalid(error, name, "strconv.ParseBool: parsing ");
    quote_text(error, bytes_of_text(text));
    buf_put_text(error, ": invalid syntax");
    return e;
}
