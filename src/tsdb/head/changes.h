/*
 * changes.h - private to tsdb/: remembers from which times on samples changed, for caches of
 * answers.
 *
 * A change has a number, which rises, and a time: samples before that time are unchanged. Only
 * changes that are earlier in time than all later ones are kept. If there are too many, two
 * neighbours become one, with the earlier time and the later number: then more counts as changed
 * than did, mostly among changes that are long ago.
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
    } items[CHANGES_KEPT]; /* ascending in both */
};

/* `number` is not less than any added before. */
void changes_add(struct changes *changes, uint64_t number, int64_t from_ms);
/* Returns the earliest time of the changes with a greater number; INT64_MAX without such changes.
 */
int64_t changes_after(const struct changes *changes, uint64_t number);

#endif
