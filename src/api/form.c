/* form.c - a form is copied once and taken apart in place; its fields are views into that. */
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
    size_t left = strlen(text);
    for (size_t step; left > 0; text += step, left -= step) {
        uint8_t c;
        step = percent_step((const uint8_t *)text, left, &c);
        if (step == 0 || c == '\0') return false;
        *to++ = *text == '+' ? ' ' : (char)c;
    }
    *to = '\0';
    return true;
}

enum err
form_read(const struct http_request *request, struct budget *budget, struct form *ret,
          struct why *why)
{
    static const char form_type[] = "application/x-www-form-urlencoded";
    const char *type = http_header(request, "Content-Type");
    struct bytes body = http_body(request);
    bool fine = body.size == 0 || memchr(body.at, '\0', body.size) == NULL;
    *ret = (struct form){.request = request};
    arena_init(&ret->arena, budget, 0, 0);
    if (type == NULL || strncasecmp(type, form_type, sizeof form_type - 1) != 0) return OK;
    if (body.size == 0) return OK;
    size_t count = 1;
    for (size_t i = 0; i < body.size; i++) {
        count += body.at[i] == '&';
    }
    char *text = arena_alloc(&ret->arena, body.size + 1);
    ret->fields = arena_alloc(&ret->arena, count * sizeof *ret->fields);
    if (text == NULL || ret->fields == NULL) {
        return why_set(why, ERR_NOMEM, "not enough memory for the form");
    }
    memcpy(text, body.at, body.size);
    text[body.size] = '\0';
    for (char *next; text != NULL && fine; text = next) {
        next = strchr(text, '&');
        if (next != NULL) *next++ = '\0';
        if (text[0] == '\0') continue;
        char *value = strchr(text, '=');
        if (value != NULL) *value++ = '\0';
        fine = unescape(text) && (value == NULL || unescape(value));
        ret->fields[ret->count++] = (struct form_field){text, value == NULL ? "" : value};
    }
    return fine ? OK : why_set(why, ERR_INPUT, "the body is not a valid URL-encoded form");
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
