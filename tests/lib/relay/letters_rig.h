/*
 * letters_rig.h - the dead letters of a destination on a simulated machine: letters whose content
 * follows from their number, and a list of the letters that are there. For tests.
 */
#ifndef LIB_RELAY_LETTERS_RIG_H
#define LIB_RELAY_LETTERS_RIG_H

#include "lib/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash/hash.h"
#include "model/labels.h"
#include "relay/letters/letters_found.h"
#include "relay/operate/dead_letters_command.h"
#include "relay/state/state.h"
#include "sys/fault.h"
#include "sys/sim.h"

#define must(call)  assert_int_equal((call), OK)
#define LETTERS_DIR "/relay/east"

enum { LETTERS_MAX = 4096, REASONS = 3 };
extern const char *const letter_reasons[REASONS];

/* The state in which a walk through the files found a letter. */
enum letters_found_state { ABSENT, KEPT, REPLAYING };

struct letters_finding {
    enum letters_found_state found;
    uint32_t reason;
    uint32_t order; /* position among all letters */
};

struct letters_rig {
    struct sim_env *sim;
    struct fault_env *fe;
    struct env *env;
    struct budget memory;
    struct dead_letters_options options;
    struct dead_letters *letters;
    struct dead_letters_moved moved; /* letters that moved since the files were opened */
    struct relay_state state;        /* the state on disk */
    struct letters_known known;      /* the letters that the state knew when they were opened */
    uint64_t random;
    uint64_t damaged; /* by the last walk */
    struct dead_letters_report report;
    struct letters_finding found[LETTERS_MAX];
    uint32_t found_count;
    struct why why;
};

/* Prints the seed of a failed test. Runs after each test; only a failed one leaves its machine. */
int letters_rig_tell_seed(void **state);
uint32_t letters_rig_random(struct letters_rig *rig, uint32_t below);
void letters_rig_init(struct letters_rig *rig, uint64_t seed);
enum err letters_rig_open_at(struct letters_rig *rig, uint64_t cursor_pos, uint32_t cursor_index);
enum err letters_rig_open(struct letters_rig *rig);
/* Writes a state. Its account has all letters, or none if all are after the cursor. */
enum err letters_rig_save(struct letters_rig *rig);
void letters_rig_close(struct letters_rig *rig);
void letters_rig_restart(struct letters_rig *rig);
void letters_rig_fini(struct letters_rig *rig);

/* --- letters ---------------------------------------------------------------------------------- */

uint64_t made_letter_pos(uint32_t id);
uint32_t made_letter_index(uint32_t id);
int64_t made_letter_failed_ms(uint32_t id);

/* The memory of a letter: a failing allocation of a test is never its own. */
struct letter_memory {
    uint8_t label_bytes[128], exemplar_label_bytes[64];
    char answer[64], tenant[16];
    struct histogram histogram;
    struct hist_span span;
    int64_t deltas[3];
};

/* Makes the letter of a number, as views of `m`. */
struct dead_letter made_letter(uint32_t id, uint32_t reason, struct letter_memory *m);
/* Returns the number of a letter, which must have the content of that number, except for reason and
 * answer. */
uint32_t made_letter_check(const struct dead_letter *letter);
enum err letters_rig_add(struct letters_rig *rig, uint32_t id, uint32_t reason);
/* Adds letters first..first+count-1, each with the reason of its number, and syncs them. */
void letters_rig_add_many(struct letters_rig *rig, uint32_t first, uint32_t count);
enum err letters_rig_tend_at(struct letters_rig *rig, int64_t now_ms);
enum err letters_rig_tend(struct letters_rig *rig);
enum err letters_rig_request(struct letters_rig *rig, enum dead_letters_wish wish,
                             const char *reason, uint64_t *ret_count);
enum err letters_rig_settle(struct letters_rig *rig, uint32_t id, bool delivered, uint32_t reason);
uint64_t letters_sum(const uint64_t counts[ITEM_KIND_COUNT]);
struct dead_letters_counts letters_rig_counts(const struct letters_rig *rig);

/* --- what is there ---------------------------------------------------------------------------- */

enum err letters_rig_note(void *context, const struct dead_letter *letter,
                          enum dead_letter_state state);
/* Writes the state to the destination's directory. */
void letters_rig_show_state(struct letters_rig *rig);
/* Lists the letters as a command of an operator does, on a machine on which nothing fails. */
void letters_rig_look(struct letters_rig *rig);
/* Checks that all letters of a range are in this state. */
void letters_rig_check(const struct letters_rig *rig, uint32_t first, uint32_t count,
                       enum letters_found_state found);

struct letters_files {
    uint32_t count;
    uint32_t requests;
    uint64_t bytes;
    char last[128];
    struct env *env;
};

/* Counts the files of letters, and the pending requests. */
struct letters_files letters_rig_files(const struct letters_rig *rig);

#endif
