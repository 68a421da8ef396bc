/*
 * s3_rig.h - a writer of type s3 on a simulated machine, items for it, and responses. For tests.
 */
#ifndef LIB_BACKEND_S3_RIG_H
#define LIB_BACKEND_S3_RIG_H

#include "lib/test.h"

#include <stdlib.h>

#include "backend/writer.h"
#include "lib/backend/aws_rig.h"
#include "model/labels.h"
#include "sys/fault.h"

#define must(call) assert_int_equal((call), OK)

#define INSTANCE "0123456789abcdef0123456789abcdef"
#define NO_UPLOADS                                                 \
    "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>" \
    "</ListMultipartUploadsResult>"

#define HOST "https://our-metrics.s3.eu-west-1.amazonaws.com"
#define HOUR "m/2026/01/01/05/"
#define LINE(time, value)                                 \
    "{\"name\":\"up\",\"time\":" time ",\"value\":" value \
    ",\"labels\":{\"__name__\":\"up\",\"job\":\"x\"}}\n"

enum { SAVED_MAX = 64 * 1024, MIB = 1 << 20 };

/* The hour in which all items arrive, unless a test says otherwise: 2026-01-01T05:00:00Z. */
#define ARRIVAL_MS (INT64_C(1767225600000) + 5 * 3600000 + 1234)

struct s3_rig {
    struct sim_env *sim;
    struct fault_env *fe;
    struct budget memory;
    struct destination_settings settings;
    struct writer_options options;
    struct writer *writer; /* NULL: not open */
    struct writer_call *call;
    struct writer_step step;
    struct buf saved; /* durable */
    struct why why;
    bool tells_looks; /* a test wants to see requests that look for existing objects; for others
                         they are answered here */
};

void s3_rig_open(struct s3_rig *rig);
void s3_rig_close(struct s3_rig *rig);
/* Makes settings, which a test may change before it opens the writer. */
void s3_rig_init(struct s3_rig *rig, uint64_t seed);
void s3_rig_fini(struct s3_rig *rig);
/* Makes the result of save() durable, then calls saved(), as the relay does. */
void s3_rig_save(struct s3_rig *rig);
/* Loses power and restarts; the last saved state is there. */
void s3_rig_crash(struct s3_rig *rig);

/* --- items ------------------------------------------------------------------------------------ */

struct s3_item {
    struct item item;
    uint8_t labels[300];
};

void s3_rig_make_item(struct s3_item *m, uint64_t pos, uint32_t index, const char *name,
                      double value);
enum writer_add s3_rig_add_item(struct s3_rig *rig, const struct item *item);
enum writer_add s3_rig_add(struct s3_rig *rig, uint64_t pos, uint32_t index);
void s3_rig_must_add(struct s3_rig *rig, uint64_t pos, uint32_t index);

/* --- steps ------------------------------------------------------------------------------------ */

void s3_rig_begin(struct s3_rig *rig);
void s3_rig_take(struct s3_rig *rig, const struct http_call_answer *answer);
void s3_rig_answer(struct s3_rig *rig, unsigned status, const char *body);
/* Answers a request for an object, or a part of one. */
void s3_rig_answer_etag(struct s3_rig *rig, const char *etag);
void s3_rig_expect_call(struct s3_rig *rig, const char *method, const char *url);
const char *s3_rig_header(const struct s3_rig *rig, const char *name);
void s3_rig_expect_done(struct s3_rig *rig, enum writer_verdict verdict, const char *reason);
/* Provides keys, and finds no uploads to abort. */
void s3_rig_prepare(struct s3_rig *rig);
/* Seals and saves; the upload is next. */
void s3_rig_seal_and_save(struct s3_rig *rig);

unsigned s3_rig_files_in(struct s3_rig *rig, const char *dir);
void s3_rig_expect_body(const struct s3_rig *rig, const char *want);

#endif
