/*
 * letters.h - the dead letters of an open destination: items that it refused permanently, or cannot
 * represent, kept whole with the reason until an operator decides. Format: docs/format/relay.md.
 *
 * Files of lines under DIR/dead-letters; the relay owns them while it is open. A line is written
 * when the cursor passes its item: so every line is of an item that is settled for good, the number
 * of lines is the account's number of dead letters, and a restart cuts what its state does not
 * know. Until then the line waits in `ahead`, and after a restart its item is read again.
 *
 * A replay gives the lines of the oldest file to the lanes, again in an order of its own: a line
 * leaves the account's dead letters when all lines before it are settled, in the same state in
 * which it is delivered, or a new line exists.
 *
 * Owner: the relay. Only letters.c and letters_tend.c write the fields.
 *
 * Threads: one.
 */
#ifndef RELAY_LETTERS_LETTERS_H
#define RELAY_LETTERS_LETTERS_H

#include "backend/item.h"
#include "base/buf.h"
#include "relay/options.h"
#include "relay/state/account.h"
#include "relay/state/saving.h"
#include "relay/state/state.h"
#include "sys/env.h"

/* --- lines ------------------------------------------------------------------------------------ */

/*
 * A dead letter as a line of NDJSON, and files of such lines. The line is that of an export
 * (wire/json/sample_json.h) with further members, so that `firekeep import` reads it too. Format:
 * docs/format/relay.md.
 *
 * Threads: none of its own; a reader belongs to one at a time.
 */

/* An item that a destination refused permanently, or cannot represent. */
struct dead_letter {
    struct item item;
    struct bytes reason; /* one word */
    struct bytes answer; /* text of the destination's response; may be empty */
    int64_t failed_ms;   /* Unix time */
};

enum { LETTER_LINE_BYTES_MAX = 64 << 20 };

/* Appends the line with its line feed. A lack of room shows in buf_error(to), and leaves `to`
 * unchanged. */
void letter_line_put(struct buf *to, const struct dead_letter *letter);

struct letter_reader;
/* ERR_NOMEM. */
MUST_CHECK enum err letter_reader_new(struct budget *memory, struct letter_reader **ret_reader);
void letter_reader_free(struct letter_reader *reader);
/* Reads a line without its line feed: views of both until the next call. ERR_CORRUPT, ERR_NOMEM. */
MUST_CHECK enum err letter_reader_line(struct letter_reader *reader, struct bytes line,
                                       struct dead_letter *ret_letter);

/* The text of a file of lines, packed or not, piece by piece. */
struct letter_text {
    struct env *env;
    struct budget *memory;
    struct file file;
    uint64_t offset; /* in the file, as it is stored */
    struct archive_unpacker *unpacker;
    struct buf packed; /* bytes that the unpacker was given last */
    struct buf carry;  /* text from carry_at on; a line that begins in it was not given so far */
    size_t carry_at;
};
/* Opens a file of the directory `dir`, by its number. Call letter_text_close() in any case.
 * ERR_MISSING; ERR_IO, ERR_NOMEM. */
MUST_CHECK enum err letter_text_open(struct letter_text *text, struct env *env, const char *dir,
                                     uint32_t number, struct budget *memory, struct why *why);
/* Gives the next line with its line feed, a view until the next call. ERR_MISSING: the end, or a
 * last line that lacks it; ERR_CORRUPT: the rest is damaged; ERR_IO, ERR_NOMEM. */
MUST_CHECK enum err letter_text_line(struct letter_text *text, struct bytes *ret_line,
                                     struct why *why);
void letter_text_close(struct letter_text *text);

/* Takes a letter, and its line with the line feed; `again`: it is being sent again. */
typedef enum err (*dead_letter_taker)(void *context, const struct dead_letter *letter,
                                      struct bytes line, bool again);

/* Lines of a file in the directory `dir`. */
struct letter_range {
    struct env *env;
    const char *dir;
    struct budget *memory;
    uint64_t from, to;      /* offsets in the text */
    dead_letter_taker each; /* NULL: lines are only counted */
    void *context;
    bool again;
};
/* Calls `each` for every whole line that can be read of the file counted->number, and counts these
 * lines there; a missing file has none. counted->bytes is where the last whole line ends. Errors of
 * `each` are forwarded; ERR_IO, ERR_NOMEM. */
MUST_CHECK enum err letter_range_each(const struct letter_range *range, struct letter_file *counted,
                                      struct why *why);

/* --- an open destination ---------------------------------------------------------------------- */

/* A line that waits until the cursor, or the replay, has passed its item. */
struct letter_ahead {
    uint64_t at; /* offset of the line in the text of all that wait */
    uint32_t size;
    bool replayed; /* `cursor` is the number of the replayed line */
    uint8_t kind;  /* enum item_kind */
    int64_t failed_ms;
    struct relay_cursor cursor; /* position of the item */
};

/* A line that was given to the lanes. */
struct letter_given {
    uint64_t at; /* offset in the text of its file */
    uint32_t size;
    uint8_t kind; /* enum item_kind; ITEM_KIND_COUNT: the line cannot be read */
    uint8_t fate; /* FATE_OPEN, FATE_DELIVERED or FATE_DEAD_LETTERED */
};

/* The replay of one file. Its text is in a file of its own, which a restart makes again. */
struct letters_replay {
    uint32_t number;            /* of the file; 0: none */
    struct file text;           /* the file's lines, unpacked */
    uint64_t end;               /* size of the text */
    uint64_t next_at;           /* offset of the first line that was not given so far */
    struct letter_given *given; /* lines from list.replay_at on */
    uint32_t count, capacity;
    uint32_t first;  /* index of given[0] in calls */
    bool waits;      /* the last of `given` had no room in a call */
    struct buf line; /* the line that was read last */
    struct letter_reader *reader;
};

struct letters {
    bool is_open; /* during a run, except in a dry run */
    struct letter_list list;
    char dir[FILE_PATH_BYTES];

    const struct relay_context *context;
    struct account *account;
    struct saving *saving;
    struct file file;      /* the current file, if open_number is its number */
    uint32_t open_number;  /* 0: it is not open */
    uint32_t saved_number; /* files below it are closed in the durable state */
    uint32_t packed_below; /* files below it are packed */
    uint64_t bytes;        /* of the files of the list */
    bool looked;           /* `bytes` is known */
    struct buf leaving;    /* u32 numbers of files to be removed once the state is durable */

    struct letter_ahead *ahead;
    uint32_t ahead_count, ahead_capacity;
    struct buf lines;  /* the end of the text of all that wait */
    uint64_t lines_at; /* size of the text before it, which is in `spill` */
    struct file spill;
    struct letters_replay replay;
};

/* The arguments outlive the letters. */
void letters_init(struct letters *letters, const struct relay_context *context,
                  struct account *account, struct saving *saving);
/* Begins a run from `state`: removes and cuts what it does not know, and counts lines that are
 * missing. ERR_CORRUPT: the state's list is invalid; ERR_IO, ERR_NOMEM. */
MUST_CHECK enum err letters_begin(struct letters *letters, const struct relay_state *state,
                                  struct why *why);
void letters_end(struct letters *letters);

/* Adds the letter of an item at or after the cursor; `replayed`: `at` has the number of a line that
 * is sent again. ERR_LIMIT: the line is too long; ERR_IO, ERR_FULL, ERR_NOMEM: nothing was added.
 */
MUST_CHECK enum err letters_add(struct letters *letters, const struct dead_letter *letter,
                                bool replayed, struct relay_cursor at, struct why *why);
/* Makes durable the lines of all items before `cursor`, for the next state. After an error the rest
 * waits, and the state must not be saved. */
MUST_CHECK enum err letters_write(struct letters *letters, struct relay_cursor cursor,
                                  struct why *why);
/* The state that has letters.list is durable. */
void letters_saved(struct letters *letters);
/* Makes the list of all lines under the destination's directory `dir`, whatever its state says.
 * ERR_IO, ERR_NOMEM. The caller frees the list. */
MUST_CHECK enum err letters_recount(struct env *env, const char *dir, struct budget *memory,
                                    struct letter_list *list, struct why *why);

/* --- whole files ------------------------------------------------------------------------------ */

/* An operator's decision about all lines in files that are not sent again. */
enum letters_wish { LETTERS_REPLAY, LETTERS_DROP };

/* Carries out a decision, with the next state. Returns the number of lines. */
uint64_t letters_decide(struct letters *letters, enum letters_wish wish);
/* Enforces size and age, begins another file where one is due, and packs one that is closed. An
 * error is reported; the rest waits for the next call. */
MUST_CHECK enum err letters_tend(struct letters *letters, struct why *why);

/* --- replay ----------------------------------------------------------------------------------- */

/*
 * Gives the next letter that is to be sent again, and its index in calls; a view until the next
 * call. ERR_MISSING: all have been given; ERR_IO, ERR_NOMEM. It is given again unless
 * letters_replay_handed_on() follows.
 */
MUST_CHECK enum err letters_replay_next(struct letters *letters, struct dead_letter *ret_letter,
                                        uint32_t *ret_index, struct why *why);
/* The letter given last is in a call, or settled. */
void letters_replay_handed_on(struct letters *letters);
/* Reads again the letter at `index`. ERR_MISSING: it cannot be read any more, and is settled;
 * ERR_IO, ERR_NOMEM. */
MUST_CHECK enum err letters_replay_load(struct letters *letters, uint32_t index,
                                        struct dead_letter *ret_letter, struct why *why);
/* Settles `count` letters from `index` on: as delivered, or as letters again. ERR_IO, ERR_NOMEM:
 * some may be settled; repeat the call. */
MUST_CHECK enum err letters_replay_settle(struct letters *letters, uint32_t index, uint32_t count,
                                          bool delivered, const char *reason, const char *answer);

/* Removes a file from the list now, and from the disk once the next state is durable. */
void letters_remove_file(struct letters *letters, uint32_t at);

/* --- without a server ------------------------------------------------------------------------- */

/* The damage of the files of a destination, which ends no reading, and what was read. */
struct dead_letters_report {
    uint64_t lost;                   /* lines that the state has and that cannot be read */
    char text[512];                  /* names the first file with such lines */
    uint64_t lines[ITEM_KIND_COUNT]; /* that were read, by kind */
};

/*
 * Calls `each`, unless it is NULL, for every dead letter under a destination's directory, oldest
 * first. Changes nothing; a relay may be running. ERR_MISSING: no such destination;
 * ERR_UNSUPPORTED: a newer version's state, or an earlier one's, which a server converts; ERR_IO,
 * ERR_NOMEM. Errors of `each` are forwarded. `ret_report` may be NULL. If the state is damaged, all
 * lines are given.
 */
MUST_CHECK enum err dead_letters_each(struct env *env, const char *dir, struct budget *memory,
                                      dead_letter_taker each, void *context,
                                      struct dead_letters_report *ret_report, struct why *why);

/*
 * Decides about all dead letters that are not being sent again, in the state; the caller has
 * locked the storage directory. Durable on return. *ret_count: the number of these letters.
 * ERR_MISSING: no such destination; and those of relay_state_read(), relay_state_write().
 */
MUST_CHECK enum err dead_letters_decide(struct env *env, const char *dir, struct budget *memory,
                                        enum letters_wish wish, uint64_t *ret_count,
                                        struct why *why);

/* --- earlier versions ------------------------------------------------------------------------- */

/*
 * Converts the letters of earlier versions, which were in files of binary entries with marks
 * (docs/format/relay.md): writes those under the destination's directory `dir` as files of lines,
 * durably, and says so in `state`: its list, which `list` has the bytes of, and its account.
 * Letters of items that the state has after its cursor are left out, because these are read again.
 * Nothing is removed: until the state is saved, the call can be repeated. With `is_known` false the
 * state says nothing about the letters, and all of them count. ERR_UNSUPPORTED: a newer version
 * wrote a file.
 */
MUST_CHECK enum err letters_old_convert(struct env *env, const char *dir, struct budget *memory,
                                        struct relay_state *state, bool is_known, struct buf *list,
                                        struct why *why);
/* Counts, by kind, the letters that would be converted. */
MUST_CHECK enum err letters_old_count(struct env *env, const char *dir, struct budget *memory,
                                      const struct relay_state *state,
                                      uint64_t ret_count[ITEM_KIND_COUNT], struct why *why);

#endif
