/* numbers.h - numeric constants of templates. Private to template/. */
#ifndef TEMPLATE_NUMBERS_H
#define TEMPLATE_NUMBERS_H

#include "base/buf.h"

struct tmpl_number {
    int64_t integer;
    double real;
    bool is_integer; /* `integer` has its value, too */
};

/*
 * `source` is the text of a token: decimal digits with a point or an exponent, integers with 0x,
 * 0o, 0, 0b, or a character in single quotes; digits may be separated by _. False: it is none of
 * these or, if it is an integer, beyond 64 bits.
 */
bool tmpl_number_read(struct bytes source, struct buf *scratch, struct tmpl_number *ret);

#endif
