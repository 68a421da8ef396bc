/*
 * changes.h - private to tsdb/: from which times on something changed, for who remembers answers.
 *
 * A change has a number, which rises, and a time: nothing before it is another than it was. Changes
 * whose times are not the least of all that came later are of no interest. Where there are too many
 * two neighbours become one, with the earlier time and the later number: then more is taken to have
 * changed than did, the more so the longer ago it was.
 */
#ifndef TSDB_HEAD_CHANGES_H
#define TSDB_HEAD_CHANGES_H

#include <stdbool.h>
#include <stdint.h>

enum { CHANGES_KEPT = 64 };

struct changes {
    uint32_t count;
    struct {
        uint64_t number;
        int64_t from_ms;
    } items[CHANGES_KEPT]; /* both rise */
};

/* No number before was greater. */
void changes_add(struct changes *changes, uint64_t number, int64_t from_ms);
/* The least time of those with a greater number. INT64_MAX: there are none. */
int64_t changes_after(const struct changes *changes, uint64_t number);

#endif
