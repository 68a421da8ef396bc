/*
 * letter_list.h - the part of a destination's state about its dead letters: its files, the lines in
 * each, and how far a replay has come. Format: docs/format/relay.md.
 *
 * Threads: none of its own.
 */
#ifndef RELAY_STATE_LETTER_LIST_H
#define RELAY_STATE_LETTER_LIST_H

#include "backend/item.h"
#include "base/buf.h"

/* Room for the name of a file, packed or not. */
enum { LETTER_NAME_BYTES = 32 };

struct letter_file {
    uint32_t number;
    uint64_t lines[ITEM_KIND_COUNT]; /* lines that are dead letters: without those replayed */
    uint64_t bytes;                  /* size of the text; what the file has beyond is no line */
    int64_t first_ms, last_ms;       /* Unix time at which the oldest and youngest failed */
};

/* Zeroed memory with `memory` set is an empty list. */
struct letter_list {
    struct budget *memory;
    struct letter_file *files; /* ascending numbers, at most `number` */
    uint32_t count, capacity;
    uint32_t number;    /* the file that is appended to; numbers are not used again */
    uint32_t replay_to; /* files up to this number are sent again, the lowest first */
    uint64_t replay_at; /* lines of the lowest before this offset of its text are settled */
};

/* Reads the bytes of a state; empty bytes are those of a new destination. ERR_CORRUPT, ERR_NOMEM.
 */
MUST_CHECK enum err letter_list_get(struct letter_list *list, struct bytes from);
/* True if an earlier version wrote the bytes, which then say nothing about files of lines. */
bool letter_list_is_old(struct bytes from);
void letter_list_put(const struct letter_list *list, struct buf *to);
void letter_list_fini(struct letter_list *list);

/* The file of that number; NULL if the list does not have it. */
struct letter_file *letter_list_find(const struct letter_list *list, uint32_t number);
/* The file that is appended to, added if it has no line so far. NULL: out of memory. */
struct letter_file *letter_list_current(struct letter_list *list);
/* The size of its text; 0 if it has no line. */
uint64_t letter_list_length(const struct letter_list *list);
/* Counts a line. */
void letter_file_count(struct letter_file *file, enum item_kind kind, int64_t failed_ms);
/* Ends the current file, if it has lines: the next line begins another one. */
void letter_list_close(struct letter_list *list);
void letter_list_remove(struct letter_list *list, uint32_t at);

/* Adds the lines of all files, those that are sent again among them, to `counts`. */
void letter_list_lines(const struct letter_list *list, uint64_t counts[ITEM_KIND_COUNT]);
/* The lines of files that are sent again. */
uint64_t letter_list_replaying(const struct letter_list *list);
/* True if the file is sent again. */
bool letter_list_replays(const struct letter_list *list, uint32_t at);
/* Hands all files back to the destination. Returns the number of lines in those that were not. */
uint64_t letter_list_replay(struct letter_list *list);

/* "0000002a.ndjson", or with `.gz` */
void letter_name(uint32_t number, bool packed, char to[LETTER_NAME_BYTES]);
/* False if the name is not that of a file of lines. */
bool letter_name_number(const char *name, uint32_t *ret_number, bool *ret_packed);

#endif
