/*
 * form.h - private to api/: arguments of a request, from its query string and from a body that is a
 * urlencoded form.
 */
#ifndef API_REQUEST_FORM_H
#define API_REQUEST_FORM_H

#include "base/buf.h"
#include "net/http_server.h"

struct form_field {
    const char *name;
    const char *value;
};

struct form {
    const struct http_request *request;
    struct arena arena;
    struct form_field *fields; /* fields of the body */
    uint32_t count;
};

/* Reads the body if its content type is that of a form; ignores an urlencoded body of GET.
 * ERR_INPUT: it is not a valid form, or one in parts; ERR_NOMEM. form_fini() is required in any
 * case. */
MUST_CHECK enum err form_read(const struct http_request *request, struct budget *budget,
                              struct form *ret_form, struct why *why);
/* Checks all arguments of the query string, for routes that ignore none. ERR_INPUT, with
 * Prometheus' sentence. */
MUST_CHECK enum err form_check_query(const struct form *form, struct why *why);
void form_fini(struct form *form);

/* Returns the argument's `nth` value, counted from 0: values in the body come first. NULL after the
 * last. */
const char *form_nth(const struct form *form, const char *name, uint32_t nth);
/* Returns the first value; NULL also if it is empty, which for Prometheus is absent. */
const char *form_given(const struct form *form, const char *name);
/* The places of arguments. */
enum form_place { FORM_URL, FORM_BODY, FORM_PLACES };
/* Returns one value of an argument after another; the walk begins with {0}. NULL after the last. */
struct form_walk {
    uint32_t arguments;
    uint32_t fields;
};
const char *form_next(const struct form *form, const char *name, struct form_walk *walk);
/* Does the same for the values in one place. */
const char *form_next_of(const struct form *form, enum form_place place, const char *name,
                         struct form_walk *walk);

/* Reads a whole number of so many bits like Go. Returns NULL, with *ret_number, or Go's error. */
const char *form_whole(const char *text, unsigned bits, int64_t *ret_number);

/* Reads a time as Prometheus' API does: as time_parse_api(), and numbers in all forms of Go. */
bool form_parse_time(const char *text, int64_t *ret_ms);

/*
 * Read arguments of a kind; if one is absent *ret stays as it is. ERR_INPUT: Prometheus' sentence
 * is appended to `error`.
 */
MUST_CHECK enum err form_time(const struct form *form, const char *name, int64_t *ret_ms,
                              struct buf *error);
/* The argument "limit"; 0: unlimited. */
MUST_CHECK enum err form_limit(const struct form *form, uint64_t *ret_limit, struct buf *error);
MUST_CHECK enum err form_bool(const struct form *form, const char *name, bool *ret,
                              struct buf *error);
/* Appends `invalid parameter "name": ` and the text. Returns ERR_INPUT. */
enum err form_invalid(struct buf *error, const char *name, const char *format, ...)
    PRINTF_LIKE(3, 4);

#endif
