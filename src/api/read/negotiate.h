/* negotiate.h - chooses the form of an answer by the scraper's Accept header, like Prometheus. */
#ifndef API_READ_NEGOTIATE_H
#define API_READ_NEGOTIATE_H

#include "wire/text/family_writer.h"

struct negotiated {
    enum family_form form;
    enum name_escaping escaping;
    char content_type[160];
};

/* `accept` is NULL if the header is absent. */
struct negotiated negotiate(const char *accept);

#endif
