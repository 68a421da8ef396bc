/*
 * dead_letters_testing.h - shared by tests of dead letters: a destination's directory on a
 * simulated machine, letters whose content follows from their number, and a list of the letters
 * found.
 */
#ifndef RELAY_LETTERS_DEAD_LETTERS_TESTING_H
#define RELAY_LETTERS_DEAD_LETTERS_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash/hash.h"
#include "lib/seeds.h"
#include "model/labels.h"
#include "relay/letters/letters_found.h"
#include "relay/operate/dead_letters_ask.h"
#include "relay/state/state.h"
#include "sys/fault.h"
#include "sys/sim.h"

enum { LETTERS_MAX = 4096, REASONS = 3 };

static const char DIR[] = "/relay/east";
static const char *const reasons[REASONS] = {"conflict", "http_400", "too_old"};

/* The state of a letter, as a walk through the files finds it. */
enum found { ABSENT, KEPT, REPLAYING };

struct finding {
    enum found found;
    uint32_t reason;
    uint32_t order; /* position among all letters */
};

struct rig {
    struct sim_env *sim;
    struct fault_env *fe;
    struct env *env;
    struct budget memory;
    struct dead_letters_options options;
    struct dead_letters *letters;
    struct dead_letters_moved moved; /* since it was opened */
    struct relay_state state;        /* the state on disk */
    struct letters_known known;      /* the part of it that was known when they were opened */
    uint64_t random;
    uint64_t damaged; /* found by the last walk */
    struct dead_letters_report report;
    struct finding found[LETTERS_MAX];
    uint32_t found_count;
    struct why why;
};

static int64_t seed_at_work = -1; /* seed of the machine that is still in use */

/* Prints the seed of the machine that a failed test left. Runs after each test. */
static inline int
tell_seed(void **state)
{
    (void)state;
    mem_fail_nth(0, false);
    if (seed_at_work >= 0) print_error("failed with seed %lld\n", (long long)seed_at_work);
    seed_at_work = -1;
    return 0;
}

static inline void
must(enum err e)
{
    assert_int_equal(e, OK);
}

static inline uint32_t
rig_random(struct rig *rig, uint32_t below)
{
    rig->random = hash_mix(rig->random, 0x6a09e667f3bcc909);
    return (uint32_t)(rig->random >> 8) % below;
}

static inline void
rig_init(struct rig *rig, uint64_t seed)
{
    seed = shifted_seed(seed);
    *rig = (struct rig){.random = seed};
    seed_at_work = (int64_t)seed;
    must(sim_env_new(seed, &rig->sim));
    must(fault_env_new(sim_env_env(rig->sim), &rig->fe));
    rig->env = fault_env_env(rig->fe);
    budget_init(&rig->memory, "relay", 0, NULL);
    must(env_mkdir(rig->env, "/relay", NULL));
    must(env_syncdir(rig->env, "/", NULL));
    must(env_mkdir(rig->env, DIR, NULL));
    must(env_syncdir(rig->env, "/relay", NULL));
    rig->options = (struct dead_letters_options){
        .env = rig->env, .dir = DIR, .memory = &rig->memory, .max_bytes = 64 * 1024 * 1024};
}

static inline enum err
rig_open_at(struct rig *rig, uint64_t cursor_pos, uint32_t cursor_index)
{
    assert_null(rig->letters);
    memset(&rig->moved, 0, sizeof rig->moved);
    rig->state.cursor = (struct relay_cursor){cursor_pos, cursor_index};
    rig->known = relay_state_letters(&rig->state);
    rig->options.known = &rig->known;
    return dead_letters_open(&rig->options, &rig->letters, &rig->why);
}

static inline enum err
rig_open(struct rig *rig)
{
    return rig_open_at(rig, 0, 0);
}

/* Writes a state. Its account has all letters, or none if all are after the cursor. */
static inline enum err
rig_save(struct rig *rig)
{
    enum err e = dead_letters_sync(rig->letters, &rig->why);
    if (e) return e;
    struct dead_letters_counts counts;
    dead_letters_counts(rig->letters, &counts);
    dead_letters_mark(rig->letters, &rig->state.letters);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT && rig->state.cursor.pos > 0; kind++) {
        rig->state.fates.count[kind][FATE_DEAD_LETTERED] = counts.letters[kind];
        rig->state.letters.replaying[kind] = counts.replaying[kind];
    }
    dead_letters_saved(rig->letters);
    return OK;
}

static inline void
rig_close(struct rig *rig)
{
    dead_letters_free(rig->letters);
    rig->letters = NULL;
    assert_int_equal(budget_used(&rig->memory), 0);
}

static inline void
rig_restart(struct rig *rig)
{
    rig_close(rig);
    must(rig_open(rig));
}

static inline void
rig_fini(struct rig *rig)
{
    rig_close(rig);
    fault_env_free(rig->fe);
    sim_env_free(rig->sim);
    seed_at_work = -1;
}

/* --- letters ---------------------------------------------------------------------------------- */

static inline uint64_t
letter_pos(uint32_t id)
{
    return 100 + id / 4 * 8;
}

static inline uint32_t
letter_index(uint32_t id)
{
    return id % 4;
}

static inline enum item_kind
letter_kind(uint32_t id)
{
    static const enum item_kind kinds[8] = {ITEM_FLOAT,    ITEM_FLOAT, ITEM_HISTOGRAM, ITEM_FLOAT,
                                            ITEM_EXEMPLAR, ITEM_FLOAT, ITEM_METADATA,  ITEM_FLOAT};
    return kinds[id % 8];
}

static inline int64_t
letter_failed_ms(uint32_t id)
{
    return 1000000 + (int64_t)id;
}

/* Memory of a letter, so that a failing allocation is never the test's own. */
struct letter_memory {
    uint8_t label_bytes[128], exemplar_label_bytes[64];
    char answer[64], tenant[16];
    struct histogram histogram;
    struct hist_span span;
    int64_t deltas[3];
};

static inline void
put_label(struct buf *to, const char *name, const char *value)
{
    labels_put(to, (struct label){bytes_of_text(name), bytes_of_text(value)});
}

/* Returns a letter of views of `m`. */
static inline struct dead_letter
letter_make(uint32_t id, uint32_t reason, struct letter_memory *m)
{
    enum item_kind kind = letter_kind(id);
    char name[32];
    *m = (struct letter_memory){.span = {(int32_t)id, 3}, .deltas = {1 + id, 0, 2}};
    struct buf labels = {.at = m->label_bytes, .capacity = sizeof m->label_bytes};
    struct buf exemplar_labels = {.at = m->exemplar_label_bytes,
                                  .capacity = sizeof m->exemplar_label_bytes};
    snprintf(name, sizeof name, "metric_%u", id);
    snprintf(m->answer, sizeof m->answer, "it said %u", id);
    snprintf(m->tenant, sizeof m->tenant, "team%u", id % 5);
    if (kind != ITEM_METADATA) put_label(&labels, "__name__", name);
    if (kind != ITEM_METADATA) put_label(&labels, "job", "x");
    if (kind == ITEM_EXEMPLAR) put_label(&exemplar_labels, "trace_id", name);
    m->histogram = (struct histogram){.kind = SAMPLE_HISTOGRAM_INT,
                                      .reset_hint = RESET_NO,
                                      .schema = 3,
                                      .sum_bits = double_bits(18.4 + id),
                                      .count = 5 + 3 * (uint64_t)id,
                                      .zero_count = 0,
                                      .positive = {&m->span, 1, 3, m->deltas, NULL}};
    struct item item = {.kind = kind,
                        .tenant = bytes_of_text(m->tenant),
                        .labels = buf_bytes(&labels),
                        .series_hash = hash_mix(id, 5),
                        .t_ms = kind == ITEM_METADATA ? 0 : -5000 + (int64_t)id,
                        .start_ms = id % 3 == 0 ? 0 : 77};
    if (kind == ITEM_FLOAT) item.bits = id % 16 == 1 ? STALE_NAN_BITS : double_bits(id / 8.0);
    if (kind == ITEM_EXEMPLAR) item.bits = double_bits(-1.0 * id);
    if (kind == ITEM_EXEMPLAR) item.exemplar_labels = buf_bytes(&exemplar_labels);
    if (kind == ITEM_HISTOGRAM) item.histogram = &m->histogram;
    if (kind == ITEM_METADATA) {
        item.family = bytes_of_text("requests");
        item.family_type = METRIC_COUNTER;
        item.help = bytes_of_text("how many");
        item.unit = bytes_of_text("");
    }
    return (struct dead_letter){.pos = letter_pos(id),
                                .index = letter_index(id),
                                .item = item,
                                .reason = bytes_of_text(reasons[reason]),
                                .answer = bytes_of_text(m->answer),
                                .failed_ms = letter_failed_ms(id)};
}

/* Returns the number of a letter, whose content must follow from it, except reason and answer. */
static inline uint32_t
letter_check(const struct dead_letter *letter)
{
    assert_true(letter->pos >= 100);
    uint32_t id = (uint32_t)(letter->pos - 100) / 8 * 4 + letter->index;
    struct letter_memory m;
    struct dead_letter wanted = letter_make(id, 0, &m);
    const struct item *a = &letter->item, *b = &wanted.item;
    assert_int_equal(letter->pos, wanted.pos);
    assert_int_equal(letter->index, wanted.index);
    assert_int_equal(a->kind, b->kind);
    assert_true(bytes_equal(a->tenant, b->tenant));
    assert_true(bytes_equal(a->labels, b->labels));
    assert_int_equal(a->series_hash, b->series_hash);
    assert_int_equal(a->t_ms, b->t_ms);
    assert_int_equal(a->start_ms, b->start_ms);
    assert_int_equal(a->bits, b->bits);
    assert_int_equal(a->histogram == NULL, b->histogram == NULL);
    if (a->histogram != NULL) assert_true(histogram_equal(a->histogram, b->histogram));
    if (a->histogram != NULL) assert_int_equal(a->histogram->reset_hint, RESET_NO);
    assert_true(bytes_equal(a->exemplar_labels, b->exemplar_labels));
    assert_true(bytes_equal(a->family, b->family));
    assert_int_equal(a->family_type, b->family_type);
    assert_true(bytes_equal(a->help, b->help));
    assert_true(bytes_equal(a->unit, b->unit));
    return id;
}

static inline enum err
rig_add(struct rig *rig, uint32_t id, uint32_t reason)
{
    struct letter_memory m;
    struct dead_letter letter = letter_make(id, reason, &m);
    enum err e = dead_letters_add(rig->letters, &letter, &rig->why);
    return e;
}

/* Adds letters first..first+count-1, each with the reason of its number, and makes them durable. */
static inline void
rig_add_many(struct rig *rig, uint32_t first, uint32_t count)
{
    for (uint32_t id = first; id < first + count; id++) {
        must(rig_add(rig, id, id % REASONS));
    }
    must(dead_letters_sync(rig->letters, &rig->why));
}

static inline enum err
rig_tend_at(struct rig *rig, int64_t now_ms)
{
    enum err e = dead_letters_tend(rig->letters, now_ms, &rig->moved, &rig->why);
    if (e || !rig->moved.waits) return e;
    /* Files are removed when the states know that. */
    e = rig_save(rig);
    if (e == OK) e = rig_save(rig);
    rig->moved.waits = false;
    if (e == OK) e = dead_letters_tend(rig->letters, now_ms, &rig->moved, &rig->why);
    if (e == OK) assert_false(rig->moved.waits);
    return e;
}

static inline enum err
rig_tend(struct rig *rig)
{
    return rig_tend_at(rig, 2000000);
}

static inline enum err
rig_request(struct rig *rig, enum dead_letters_wish wish, const char *reason, uint64_t *ret_count)
{
    sim_env_advance_ns(rig->sim, NS_PER_S); /* requests are ordered by their time */
    return dead_letters_request(rig->env, DIR, NULL, wish, reason, ret_count, NULL, &rig->why);
}

static inline enum err
rig_settle(struct rig *rig, uint32_t id, bool delivered, uint32_t reason)
{
    return dead_letters_settle(rig->letters, letter_pos(id), letter_index(id), delivered,
                               bytes_of_text(reasons[reason]), bytes_of_text("said again"),
                               letter_failed_ms(id) + 5000, &rig->why);
}

static inline uint64_t
sum(const uint64_t counts[ITEM_KIND_COUNT])
{
    uint64_t all = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        all += counts[kind];
    }
    return all;
}

static inline struct dead_letters_counts
rig_counts(const struct rig *rig)
{
    struct dead_letters_counts counts;
    dead_letters_counts(rig->letters, &counts);
    return counts;
}

/* --- letters found ---------------------------------------------------------------------------- */

static inline enum err
note_letter(void *context, const struct dead_letter *letter, enum dead_letter_state state)
{
    struct rig *rig = context;
    uint32_t id = letter_check(letter);
    assert_true(id < LETTERS_MAX);
    struct finding *f = &rig->found[id];
    assert_int_equal(f->found, ABSENT); /* no letter is found twice */
    f->found = state == DEAD_LETTER_KEPT ? KEPT : REPLAYING;
    f->order = rig->found_count++;
    for (f->reason = 0; f->reason < REASONS; f->reason++) {
        if (bytes_equal_text(letter->reason, reasons[f->reason])) return OK;
    }
    fail_msg("letter %u has a reason of its own", id);
    return OK;
}

/* Writes the state to where operators' commands read it. */
static inline void
rig_show_state(struct rig *rig)
{
    struct buf scratch;
    struct env *env = sim_env_env(rig->sim);
    if (!rig->state.letters.known) {
        must(env_unlink(env, "/relay/east/state", NULL));
        return;
    }
    buf_init(&scratch, NULL, RELAY_STATE_BYTES_MAX);
    must(relay_state_write(env, DIR, &scratch, &rig->state, NULL));
    buf_fini(&scratch);
}

/* Reads the letters as an operator's command does, without failures. */
static inline void
rig_look(struct rig *rig)
{
    rig_show_state(rig);
    memset(rig->found, 0, sizeof rig->found);
    rig->found_count = 0;
    rig->damaged = 0;
    struct budget memory;
    budget_init(&memory, "look", 0, NULL);
    enum err e = dead_letters_each(sim_env_env(rig->sim), DIR, &memory, note_letter, rig,
                                   &rig->report, &rig->why);
    if (e && e != ERR_MISSING) fail_msg("%s", rig->why.text);
    rig->damaged = e == OK ? rig->report.damaged : 0;
    assert_int_equal(budget_used(&memory), 0);
}

/* Checks that all letters of a range are in this state. */
static inline void
check_found(const struct rig *rig, uint32_t first, uint32_t count, enum found found)
{
    for (uint32_t id = first; id < first + count; id++) {
        if (rig->found[id].found != found) {
            fail_msg("letter %u is %d instead of %d", id, rig->found[id].found, found);
        }
    }
}

struct files {
    uint32_t count;
    uint32_t requests;
    uint64_t bytes;
    char last[128];
    struct env *env;
};

static inline enum err
count_file(void *context, const char *name, bool is_dir)
{
    struct files *files = context;
    struct file file;
    char path[128];
    uint64_t size;
    assert_false(is_dir);
    files->requests += strstr(name, ".request") != NULL;
    if (strstr(name, ".letters") == NULL) return OK;
    snprintf(path, sizeof path, "%s/dead-letters/%s", DIR, name);
    must(file_open(files->env, path, FILE_READ, &file, NULL));
    must(file_size(&file, &size, NULL));
    must(file_close(&file));
    files->count++;
    files->bytes += size;
    if (strcmp(path, files->last) > 0) snprintf(files->last, sizeof files->last, "%s", path);
    return OK;
}

/* Counts the files with letters, and the waiting requests. */
static inline struct files
rig_files(const struct rig *rig)
{
    char path[64];
    struct files files = {.env = sim_env_env(rig->sim)};
    snprintf(path, sizeof path, "%s/dead-letters", DIR);
    enum err e = env_listdir(files.env, path, count_file, &files, NULL);
    assert_true(e == OK || e == ERR_MISSING);
    return files;
}

#endif
