/*
 * numbers.h - numbers as Go reads them: constants of templates, and texts that are to be numbers.
 * Private to template/.
 */
#ifndef TEMPLATE_NUMBERS_H
#define TEMPLATE_NUMBERS_H

#include "base/buf.h"

/* A constant may be several things: 1.0 is an integer, too, and every integer is a float. */
struct tmpl_number {
    int64_t integer;
    double real;
    bool is_integer;
    bool is_real;
    bool is_real_first; /* where both will do: it is written with a point or an exponent */
};

/*
 * `source` is a token's text, in single quotes if it is a character. False: it stands for nothing,
 * and `sentence` tells; or there was no memory, as buf_error() of either tells.
 */
bool tmpl_number_read(struct bytes source, struct buf *scratch, struct buf *sentence,
                      struct tmpl_number *ret);

enum tmpl_float_result { TMPL_FLOAT_OK, TMPL_FLOAT_SYNTAX, TMPL_FLOAT_RANGE, TMPL_FLOAT_NO_MEMORY };
/* All of `text`, decimal or hexadecimal, with _ between digits. Beyond the largest
 * double it is an infinity. */
enum tmpl_float_result tmpl_float_read(struct bytes text, struct buf *scratch, double *ret);

#endif
