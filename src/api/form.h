/*
 * form.h - private to api/: arguments of a request, of its query string and of a body that is a
 * form, urlencoded or in parts, as Prometheus takes them.
 */
#ifndef API_FORM_H
#define API_FORM_H

#include "base/buf.h"
#include "net/http_server.h"

struct form_field {
    const char *name;
    const char *value;
};

struct form {
    const struct http_request *request;
    struct arena arena;
    struct form_field *fields; /* of the body */
    uint32_t count;
    bool is_multipart;
};

/* Reads the body if its content type is that of a form; an urlencoded one of GET is not looked at.
 * ERR_INPUT: it is not a valid form; ERR_NOMEM. To be ended with form_fini() in any case. */
MUST_CHECK enum err form_read(const struct http_request *request, struct budget *budget,
                              struct form *ret_form, struct why *why);
/* Whether all arguments of the query string can be read, for those who do not go by the others if
 * one cannot. ERR_INPUT, with Prometheus' sentence. */
MUST_CHECK enum err form_check_query(const struct form *form, struct why *why);
void form_fini(struct form *form);

/* The argument's `nth` value, counted from 0: those of the body come first, and those of a body in
 * parts last. NULL: there are no more. */
const char *form_nth(const struct form *form, const char *name, uint32_t nth);
/* The first; NULL also if it is empty: Prometheus takes that for not given. */
const char *form_given(const struct form *form, const char *name);
/* All values of an argument, where there may be many: begin with {0}. NULL: there are no more. */
struct form_walk {
    uint32_t arguments;
    uint32_t fields;
};
const char *form_next(const struct form *form, const char *name, struct form_walk *walk);

/* A whole number of so many bits, as Go reads it. NULL: *ret_number is set; else Go's words for
 * what is wrong with it. */
const char *form_whole(const char *text, unsigned bits, int64_t *ret_number);

/*
 * Arguments of a kind; what is not given leaves *ret as it is. ERR_INPUT: `error` has Prometheus'
 * sentence about it, appended.
 */
MUST_CHECK enum err form_time(const struct form *form, const char *name, int64_t *ret_ms,
                              struct buf *error);
/* "limit": 0 is none. */
MUST_CHECK enum err form_limit(const struct form *form, uint64_t *ret_limit, struct buf *error);
MUST_CHECK enum err form_bool(const struct form *form, const char *name, bool *ret,
                              struct buf *error);
/* `invalid parameter "name": ` and what follows. Returns ERR_INPUT. */
enum err form_invalid(struct buf *error, const char *name, const char *format, ...)
    PRINTF_LIKE(3, 4);

#endif
