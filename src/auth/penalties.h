/*
 * penalties.h - slows down guessing: says whether a client's address may have a credential checked
 * now. Pure: the caller gives the time.
 *
 * Each failure raises the level of its address by one; a level falls by one per `interval_ns`.
 * From `failures` on the address is refused until the level has fallen by one, so a guesser gets
 * `failures` checks at first, and then one per interval. A credential that is known to be good is
 * not asked about here, so one misconfigured sender does not lock out others that share its
 * address.
 *
 * A refusal is answered with 503 and Retry-After, not with 429: Prometheus sends a batch again
 * after every 5xx (old versions after at most 5 s, newer ones after Retry-After), but drops it
 * after 429 unless its configuration has retry_on_http_429.
 *
 * At most `addresses_max` addresses have a level. If a further one fails, it takes the place of the
 * address with the lowest level, and inherits that level. So
 *  - an address in the table never has a lower level than its own failures give it;
 *  - an address leaves the table only after failures have raised all others to its level;
 *  - an address that is not in the table has one check, and then at least the lowest level: with
 *    more addresses than the table has, an attacker gets one check per address and turn, not
 *    `failures`. An innocent address that fails during such an attack is refused as early.
 *
 * Threads: the caller holds a lock, or has one thread.
 */
#ifndef AUTH_PENALTIES_H
#define AUTH_PENALTIES_H

#include "base/log.h"
#include "base/table.h"

/* An IPv4 address, or the first 64 bits of an IPv6 address, which one client has for itself. */
struct penalty_key {
    uint8_t bytes[16];
};

/* `address` has 16 bytes; IPv4 addresses are mapped (::ffff:192.0.2.1). */
struct penalty_key penalty_key_of(const uint8_t *address);

struct penalties_options {
    uint32_t addresses_max;
    uint32_t failures;
    int64_t interval_ns;
    int64_t log_interval_ns; /* one line per address */
    uint64_t seed;           /* secret, so that a client cannot choose colliding addresses */
};

/* Values for the server: ten failures at once, then six per minute. The table takes 230 KB. */
enum { PENALTIES_ADDRESSES_MAX = 4096, PENALTIES_FAILURES = 10 };
#define PENALTIES_INTERVAL_NS     INT64_C(10000000000)
#define PENALTIES_LOG_INTERVAL_NS INT64_C(60000000000)

struct penalty_address {
    struct penalty_key key;
    struct log_gate lines;
};

struct penalties {
    struct penalties_options options;
    struct budget *budget;
    uint32_t count;
    int64_t *ends_ns; /* when the level of each address is 0 */
    struct penalty_address *addresses;
    struct table table; /* indexes of addresses */
};

/* ERR_NOMEM: nothing is held. */
MUST_CHECK enum err penalties_init(struct penalties *penalties, struct budget *budget,
                                   const struct penalties_options *options);
/* Zeroed memory is allowed. */
void penalties_fini(struct penalties *penalties);

/* Returns 0 if a credential from the address may be checked now, or the seconds for Retry-After.
 * Times are those of one monotonic clock, from 0 on, and do not fall. */
uint32_t penalties_retry_after_s(const struct penalties *penalties, struct penalty_key key,
                                 int64_t now_ns);

/*
 * Counts a failure. True at most once per log_interval_ns and address: then a line about the
 * address is due, and `ret_failures` is the number of its failures since the last line, including
 * this one. An address that left the table begins again: the caller limits the lines of all
 * addresses together.
 */
bool penalties_add(struct penalties *penalties, struct penalty_key key, int64_t now_ns,
                   uint64_t *ret_failures);

#endif
