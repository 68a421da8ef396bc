#include "api/form.h"

#include <string.h>
#include <strings.h>

#include "base/hex.h"
#include "base/time_text.h"

/* In place. False: a % without two digits, or a NUL. */
static bool
unescape(char *text)
{
    char *to = text;
    for (const char *at = text; *at != '\0'; at++) {
        int high, low;
        if (*at == '+') {
            *to++ = ' ';
        } else if (*at != '%') {
            *to++ = *at;
        } else {
            high = hex_digit((uint8_t)at[1]);
            low = high < 0 ? -1 : hex_digit((uint8_t)at[2]);
            if (low < 0 || high * 16 + low == 0) return false;
            *to++ = (char)(high * 16 + low);
            at += 2;
        }
    }
    *to = '\0';
    return true;
}

static bool
is_form(const struct http_request *request)
{
    static const char type[] = "application/x-www-form-urlencoded";
    const char *given = http_header(request, "Content-Type");
    return given != NULL && strncasecmp(given, type, sizeof type - 1) == 0;
}

static uint32_t
count_fields(const char *text)
{
    uint32_t count = 1;
    for (; (text = strchr(text, '&')) != NULL; text++) {
        count++;
    }
    return count;
}

static enum err
split(struct form *form, char *text, struct why *why)
{
    form->fields = arena_alloc(&form->arena, count_fields(text) * sizeof *form->fields);
    if (form->fields == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the form");
    for (char *next; text != NULL; text = next) {
        next = strchr(text, '&');
        if (next != NULL) *next++ = '\0';
        if (text[0] == '\0') continue;
        char *value = strchr(text, '=');
        if (value != NULL) *value++ = '\0';
        if (!unescape(text) || (value != NULL && !unescape(value))) {
            return why_set(why, ERR_INPUT, "the body is not a valid URL-encoded form");
        }
        form->fields[form->count++] = (struct form_field){text, value == NULL ? "" : value};
    }
    return OK;
}

enum err
form_read(const struct http_request *request, struct budget *budget, struct form *ret,
          struct why *why)
{
    *ret = (struct form){.request = request};
    arena_init(&ret->arena, budget, 0, 0);
    struct bytes body = http_body(request);
    if (!is_form(request) || body.size == 0) return OK;
    if (memchr(body.at, '\0', body.size) != NULL) {
        return why_set(why, ERR_INPUT, "the body is not a valid URL-encoded form");
    }
    char *text = arena_alloc(&ret->arena, body.size + 1);
    if (text == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the form");
    memcpy(text, body.at, body.size);
    text[body.size] = '\0';
    return split(ret, text, why);
}

void
form_fini(struct form *form)
{
    arena_fini(&form->arena);
}

const char *
form_nth(const struct form *form, const char *name, uint32_t nth)
{
    uint32_t seen = 0;
    for (const char *value; (value = http_argument_nth(form->request, name, seen)) != NULL;) {
        if (seen++ == nth) return value;
    }
    for (uint32_t i = 0; i < form->count; i++) {
        if (strcmp(form->fields[i].name, name) != 0) continue;
        if (seen++ == nth) return form->fields[i].value;
    }
    return NULL;
}

enum err
form_time(const struct form *form, const char *name, int64_t otherwise, int64_t *ret_ms,
          struct why *why)
{
    const char *text = form_nth(form, name, 0);
    *ret_ms = otherwise;
    if (text == NULL || text[0] == '\0' || time_parse_api(bytes_of_text(text), ret_ms)) return OK;
    return why_set(why, ERR_INPUT,
                   "invalid %s '%.64s': expected RFC 3339 (2024-02-29T12:00:00Z) or Unix seconds",
                   name, text);
}
