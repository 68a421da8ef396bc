/*
 * testing.h - for tests: a machine in memory with its own environment variables, and handmade
 * answers. Secrets in them contain the word SECRET: see expect_no_secret().
 */
#ifndef BACKEND_AWS_TESTING_H
#define BACKEND_AWS_TESTING_H

#include <stdio.h>

#include "backend/aws/aws.h"
#include "sys/sim.h"

enum { RIG_VARIABLES_MAX = 16 };
static const int64_t RIG_START_S = 1767225600; /* 2026-01-01, as sim.h says */

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

static inline const char *
rig_variable(void *context, const char *name)
{
    const struct aws_rig *rig = context;
    for (unsigned i = 0; i < rig->variable_count; i++) {
        if (strcmp(rig->variables[i].name, name) == 0) return rig->variables[i].value;
    }
    return NULL;
}

static inline void
rig_init(struct aws_rig *rig)
{
    memset(rig, 0, sizeof *rig);
    assert_int_equal(sim_env_new(1, &rig->sim), OK);
    rig->table = (struct aws_variables){rig_variable, rig};
    rig->setup = (struct aws_setup){sim_env_env(rig->sim), NULL, &rig->settings, &rig->table};
}

static inline void
rig_fini(struct aws_rig *rig)
{
    sim_env_free(rig->sim);
}

/* Sets a variable; NULL unsets it. */
static inline void
rig_set(struct aws_rig *rig, const char *name, const char *value)
{
    unsigned i = 0;
    while (i < rig->variable_count && strcmp(rig->variables[i].name, name) != 0) {
        i++;
    }
    assert_true(i < RIG_VARIABLES_MAX);
    if (i == rig->variable_count) rig->variable_count++;
    rig->variables[i].name = name;
    rig->variables[i].value = value;
}

/* Writes a file, and makes missing directories. */
static inline void
rig_put_bytes(struct aws_rig *rig, const char *path, struct bytes content)
{
    char dir[200];
    struct file file;
    snprintf(dir, sizeof dir, "%s", path);
    for (char *slash = dir + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        assert_int_equal(env_mkdir(rig->setup.env, dir, NULL), OK);
        *slash = '/';
    }
    assert_int_equal(file_open(rig->setup.env, path, FILE_REPLACE, &file, NULL), OK);
    assert_int_equal(file_write_at(&file, content, 0, NULL), OK);
    assert_int_equal(file_close(&file), OK);
}

static inline void
rig_put(struct aws_rig *rig, const char *path, const char *text)
{
    rig_put_bytes(rig, path, bytes_of_text(text));
}

static inline struct http_call_answer
answer_of(unsigned status, const char *body)
{
    return (struct http_call_answer){.status = status, .body = bytes_of_text(body)};
}

static inline struct http_call_answer
silence_of(enum http_call_failure failure, const char *error)
{
    struct http_call_answer answer = {.failure = failure};
    snprintf(answer.error, sizeof answer.error, "%s", error);
    return answer;
}

static inline void
expect_no_secret(const char *text)
{
    if (strstr(text, "SECRET") != NULL) fail_msg("'%s' tells a secret", text);
}

static inline void
expect_in(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) fail_msg("'%s' has no '%s'", text, part);
}

#endif
