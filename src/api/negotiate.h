/* negotiate.h - which form a scraper gets, by its Accept header, as Prometheus chooses it. */
#ifndef API_NEGOTIATE_H
#define API_NEGOTIATE_H

#include "wire/text/family_writer.h"

struct negotiated {
    enum family_form form;
    enum name_escaping escaping;
    char content_type[160];
};

/* `accept` NULL: there is no such header. */
struct negotiated negotiate(const char *accept);

#endif
