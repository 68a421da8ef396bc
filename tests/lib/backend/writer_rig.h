/* writer_rig.h - a writer on a simulated machine, items for it, and answers. For tests. */
#ifndef LIB_BACKEND_WRITER_RIG_H
#define LIB_BACKEND_WRITER_RIG_H

#include "lib/test.h"

#include <stdarg.h>
#include <stdio.h>

#include "backend/common/http_common.h"
#include "lib/wire/random_labels.h"
#include "sys/sim.h"

#define RIG_T_MS 1700000000000LL /* the time of items */

struct writer_rig {
    struct sim_env *sim;
    const struct writer_class *class;
    struct destination_settings settings;
    struct budget memory;
    struct buf labels; /* labels of the last item */
    struct buf saved;
    struct writer *writer;
    struct writer_call *call;
    struct why why;
};

/* Makes settings, which the test completes. */
void rig_init(struct writer_rig *rig, const struct writer_class *class);

/* Opens the writer with the state that was saved last. */
void rig_open(struct writer_rig *rig);
void rig_close(struct writer_rig *rig);
void rig_fini(struct writer_rig *rig);

/* Returns an item with labels as NAME, VALUE, ..., sorted, up to NULL. */
struct item rig_item(struct writer_rig *rig, const char *name, ...);

enum writer_add rig_add(struct writer_rig *rig, const struct item *item);

/* Adds the item, which must succeed, and returns the number of its entry. */
uint32_t rig_must_add(struct writer_rig *rig, const struct item *item);

/* Begins the call; the second must result in a request. */
struct writer_step rig_begin(struct writer_rig *rig);
struct writer_step rig_send(struct writer_rig *rig);

/* Answer the request and return the next step. */
struct http_call_answer answer_of(unsigned status, const char *body);
struct writer_step rig_judge(struct writer_rig *rig, const struct http_call_answer *answer);
struct writer_step rig_answer(struct writer_rig *rig, unsigned status, const char *body);

struct writer_entry rig_entry(struct writer_rig *rig, uint32_t number);

/* Returns the value of a header of the request, or NULL. */
const char *header_of(const struct writer_step *step, const char *name);

/* Fails the test unless `text` contains `part`. */
void expect_in(const char *text, const char *part);

#endif
