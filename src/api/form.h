/*
 * form.h - private to api/: arguments of a request, of its query string and of a body that is an
 * urlencoded form, as Prometheus takes them.
 */
#ifndef API_FORM_H
#define API_FORM_H

#include "base/mem.h"
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
};

/* Reads the body if its content type is that of a form. ERR_INPUT: it is not a valid form;
 * ERR_NOMEM. To be ended with form_fini() in any case. */
MUST_CHECK enum err form_read(const struct http_request *request, struct budget *budget,
                              struct form *ret_form, struct why *why);
void form_fini(struct form *form);

/* The argument's `nth` value, counted from 0: those of the query string come first. NULL: there
 * are no more. */
const char *form_nth(const struct form *form, const char *name, uint32_t nth);
/* A time as Prometheus takes it; `otherwise` if it is not there. ERR_INPUT. */
MUST_CHECK enum err form_time(const struct form *form, const char *name, int64_t otherwise,
                              int64_t *ret_ms, struct why *why);

#endif
