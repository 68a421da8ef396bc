/*
 * timestream_rig.h - settings of a destination of type timestream on a simulated machine, and a
 * step to check. For tests.
 */
#ifndef LIB_BACKEND_TIMESTREAM_RIG_H
#define LIB_BACKEND_TIMESTREAM_RIG_H

#include "lib/test.h"

#include <stdlib.h>

#include "backend/timestream/timestream.h"
#include "lib/backend/aws_rig.h"

struct timestream_rig {
    struct sim_env *sim;
    struct budget memory;
    struct destination_settings settings;
    struct writer_options options;
    struct writer_step step;
};

void timestream_rig_init(struct timestream_rig *rig);
void timestream_rig_fini(struct timestream_rig *rig);
void timestream_rig_advance(struct timestream_rig *rig, int64_t seconds);
const char *timestream_rig_header(const struct timestream_rig *rig, const char *name);
void timestream_rig_expect_call(const struct timestream_rig *rig, const char *url,
                                const char *operation, const char *body);
void timestream_rig_expect_done(const struct timestream_rig *rig, enum writer_verdict verdict,
                                const char *reason, const char *says);

#endif
