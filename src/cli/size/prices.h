/*
 * prices.h - reads a dated file of prices (docs/prices.txt): a line for each, '#' begins a comment.
 *
 *     date YEAR-MONTH-DAY
 *     what TEXT                        place and currency; all prices are for a month
 *     disk PRICE                       of a GiB
 *     machine NAME CORES GIB PRICE
 */
#ifndef CLI_SIZE_PRICES_H
#define CLI_SIZE_PRICES_H

#include "base/bytes.h"
#include "base/err.h"

enum { PRICES_BYTES_MAX = 64 * 1024, PRICES_MACHINES_MAX = 256 };

struct machine_price {
    char name[32];
    double cores, gib, price;
};

struct prices {
    char date[11];
    char what[128];
    double disk;
    struct machine_price machines[PRICES_MACHINES_MAX];
    uint32_t machine_count;
};

/* ERR_INPUT: `why` names the line that is invalid, or what is missing. */
MUST_CHECK enum err prices_read(struct bytes text, struct prices *ret, struct why *why);

/* Returns the cheapest machine that has both; NULL if there is none. A view of `p`. */
const struct machine_price *prices_machine(const struct prices *p, double cores, double gib);

#endif
