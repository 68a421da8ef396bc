/*
 * aws_rig.h - AWS settings on a simulated machine with its own environment variables, and
 * responses. Secrets in them contain the word SECRET: see expect_no_secret(). For tests.
 */
#ifndef LIB_BACKEND_AWS_RIG_H
#define LIB_BACKEND_AWS_RIG_H

#include "lib/test.h"

#include "backend/aws/aws.h"
#include "lib/backend/writer_rig.h"
#include "sys/sim.h"

enum { RIG_VARIABLES_MAX = 16 };
/* 2026-01-01T00:00:00Z, the start of simulated machines */
#define RIG_START_S INT64_C(1767225600)

struct aws_rig {
    struct sim_env *sim;
    struct {
        const char *name;
        const char *value;
    } variables[RIG_VARIABLES_MAX];
    unsigned variable_count;
    struct aws_variables table;
    struct aws_settings settings;
    struct aws_setup setup;
};

void aws_rig_init(struct aws_rig *rig);
void aws_rig_fini(struct aws_rig *rig);
/* Sets an environment variable; NULL unsets it. */
void aws_rig_set(struct aws_rig *rig, const char *name, const char *value);
/* Writes a file, and makes missing directories. */
void aws_rig_put_bytes(struct aws_rig *rig, const char *path, struct bytes content);
void aws_rig_put(struct aws_rig *rig, const char *path, const char *text);
/* Makes an answer of a call that got no response. */
struct http_call_answer silence_of(enum http_call_failure failure, const char *error);
void expect_no_secret(const char *text);

#endif
