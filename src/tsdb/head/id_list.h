/*
 * id_list.h - private to head/: ascending ids, as differences of mostly one byte each.
 *
 * A list only grows, and written bytes never move: a walk that was begun under the lock that guards
 * the list may continue without it, and sees the ids that the list had when it began.
 */
#ifndef TSDB_HEAD_ID_LIST_H
#define TSDB_HEAD_ID_LIST_H

#include "tsdb/head/gmem.h"

struct id_block;

/* Zeroed memory is an empty list. */
struct id_list {
    struct id_block *first; /* blocks hold all ids but the first */
    struct id_block *last;
    uint32_t used_bytes; /* bytes written in the last block */
    uint32_t count;
    uint32_t first_id;
    uint32_t last_id;
};

/* Allocates memory for the next id_list_push(). ERR_NOMEM. */
MUST_CHECK enum err id_list_reserve(struct id_list *list, struct gmem *gmem);
/* Appends an id that is greater than all in the list, after id_list_reserve(). */
void id_list_push(struct id_list *list, uint32_t id);

struct id_walk {
    const struct id_block *block;
    const uint8_t *at;
    uint32_t left;
    uint32_t next_id;
};

struct id_walk id_list_walk(const struct id_list *list);
/* Reads the next ids, at most `max`; returns how many, 0 at the end. */
uint32_t id_walk_read(struct id_walk *walk, uint32_t *ret_ids, uint32_t max);

static inline bool
id_walk_next(struct id_walk *walk, uint32_t *ret_id)
{
    return id_walk_read(walk, ret_id, 1) == 1;
}

#endif
