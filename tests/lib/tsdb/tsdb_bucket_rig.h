/*
 * tsdb_bucket_rig.h - stores whose parts go into one simulated bucket, each on a machine of its
 * own. For tests.
 */
#ifndef LIB_TSDB_TSDB_BUCKET_RIG_H
#define LIB_TSDB_TSDB_BUCKET_RIG_H

#include "lib/tsdb/tsdb_machine.h"
#include "sys/sim_objects.h"
#include "tsdb/tsdb_bucket.h"

/* A store and its thread for the bucket. */
struct bucket_rig {
    struct machine *machine;
    struct sim_objects *objects;
    struct tsdb_bucket *bucket; /* NULL: closed */
    int64_t keep_ms;            /* parts leave the directory when they are this old; 0: never */
    bool single_writer;
};

/* Opens the bucket, and the store before if it is closed. Objects stay for a day. */
void bucket_rig_open(struct bucket_rig *rig);
/* Closes both. */
void bucket_rig_close(struct bucket_rig *rig);
/* Closes, verifies and opens both. */
void bucket_rig_restart(struct bucket_rig *rig);

/* Copies the volume of a store to a machine without one, which is made. Its store is closed. */
void bucket_rig_copy(const struct bucket_rig *from, struct bucket_rig *to, uint64_t seed);
/* Makes a machine with an empty volume. */
void bucket_rig_init(struct bucket_rig *rig, uint64_t seed);
/* Closes the store, and ends a machine of these two functions. */
void bucket_rig_fini(struct bucket_rig *rig);
/* Puts an older copy in the place of the volume, as a machine that was off meanwhile. `copy` is
 * used up. */
void bucket_rig_roll_back(struct bucket_rig *rig, struct sim_env *copy);

/* Sends one float of the tenant "a" into a part; the second leaves it in the log. */
void bucket_rig_send(struct bucket_rig *rig, const char *series, int64_t t_ms, double value);
void bucket_rig_log(struct bucket_rig *rig, const char *series, int64_t t_ms, double value);
/* Deletes series of the tenant "a". Returns the id of the deletion. */
uint64_t bucket_rig_delete(struct bucket_rig *rig, const char *selector_text);
/* Merges until nothing is left to merge, or an error. */
enum err bucket_rig_merge(struct bucket_rig *rig, enum tsdb_merge_mode mode);

/* Steps until nothing is due, or an error. */
enum err bucket_rig_run(struct bucket_rig *rig);
/* Steps until a minute has passed after the last delta, too. */
void bucket_rig_run_all(struct bucket_rig *rig);
/* Lets time pass for the bucket and for the machine, and steps. */
void bucket_rig_pass(struct bucket_rig *rig, int64_t ms);

struct tsdb_bucket_stats bucket_rig_stats(struct bucket_rig *rig);
/* Expects the catalog to name what the store has, and each object to be the part's file. */
void bucket_rig_expect_catalog(struct bucket_rig *rig);
/* Returns the number of objects whose keys begin so. */
size_t bucket_rig_count(const struct sim_objects *objects, const char *begin);

/* --- answers ---------------------------------------------------------------------------------- */

/* Samples of the tenant "a", in any order before reading_sort(). */
struct reading {
    struct reading_sample {
        uint64_t series;
        int64_t t_ms;
        uint64_t value;
    } items[4096];
    size_t count;
};

/* Adds what a view answers; `beyond` may be NULL. */
enum err reading_add(struct reading *to, struct view *view, const struct bucket_mark *beyond,
                     struct why *why);
/* Sorts, and leaves each sample once. */
void reading_sort(struct reading *reading);
void reading_expect_same(struct reading *a, struct reading *b);

#endif
