/*
 * key_sources.h - finds the source of a destination's credentials: the first that has any, and the
 * roles to be assumed with them. Reads settings, variables and files; sends no requests. Each fetch
 * searches again, so that changed files and secrets take effect.
 *
 * The order: own settings, environment, web identity, profile, container, instance. A profile named
 * in the settings is an own setting: then environment and web identity are skipped.
 */
#ifndef BACKEND_AWS_KEY_SOURCES_H
#define BACKEND_AWS_KEY_SOURCES_H

#include "backend/aws/keys.h"
#include "backend/aws/profile.h"
#include "base/buf.h"
#include "sys/env.h"

/* Reads the output of a program named in an AWS profile (credential_process). */

enum {
    AWS_PROCESS_COMMAND_BYTES_MAX = 4096,
    AWS_PROCESS_WORDS_MAX = 64,
    AWS_PROCESS_OUTPUT_BYTES_MAX = 64 << 10,
};

/*
 * Starts a program, without a shell: words are separated by blanks, '...', "..." and \ quote as in
 * a shell, nothing is expanded. The program is searched in PATH, inherits the environment, has no
 * input, and its stderr is not read, because that may hold secrets. ERR_INPUT: no command, or an
 * unclosed quote; ERR_LIMIT: the command is too long; ERR_MISSING: the program does not exist;
 * ERR_NOMEM; ERR_IO.
 */
struct aws_process;
MUST_CHECK enum err aws_process_start(struct env *env, struct budget *memory, struct bytes command,
                                      int64_t limit_ms, struct aws_process **ret_process,
                                      struct why *why);
/*
 * Appends its output to `output`, which the caller has to overwrite, until it ends or `wait_ms`
 * have passed. ERR_LIMIT: too much output; ERR_AGAIN: it takes longer than `limit_ms`, or failed;
 * ERR_NOMEM; ERR_IO.
 */
MUST_CHECK enum err aws_process_poll(struct aws_process *process, int64_t wait_ms,
                                     struct buf *output, bool *ret_has_ended, struct why *why);
/* Kills the program, if it has not ended, and all its children. NULL is fine. */
void aws_process_free(struct aws_process *process);

enum aws_key_source_kind {
    AWS_FROM_SETTINGS,
    AWS_FROM_ENVIRONMENT,
    AWS_FROM_WEB_IDENTITY,
    AWS_FROM_PROFILE,
    AWS_FROM_PROCESS,
    AWS_FROM_CONTAINER,
    AWS_FROM_INSTANCE,
};

struct aws_role {
    struct bytes arn;
    struct bytes session_name; /* empty: not given, as the next two */
    struct bytes external_id;
    struct bytes duration_s; /* digits */
};

enum { AWS_ROLES_MAX = 6, AWS_LABEL_BYTES = 160 };

/* Views are of settings, variables, or `files`. */
struct aws_key_source {
    enum aws_key_source_kind kind;
    char label[AWS_LABEL_BYTES];          /* name of the source, for people: "profile 'x'" */
    struct aws_keys keys;                 /* SETTINGS, ENVIRONMENT, PROFILE */
    const char *token_file;               /* WEB_IDENTITY from the environment */
    struct bytes profile_token_file;      /* WEB_IDENTITY from a profile */
    struct aws_role web_role;             /* WEB_IDENTITY */
    struct bytes command;                 /* PROCESS */
    struct aws_role roles[AWS_ROLES_MAX]; /* the last is assumed first */
    uint32_t role_count;
    struct aws_profiles files;
};

/*
 * Finds the source, which is given, for aws_key_source_fini(), also after an error. ERR_MISSING: no
 * source has credentials, or one that is named does not exist; ERR_INPUT: a source is invalid (half
 * a pair of keys, profiles in a circle); ERR_LIMIT; ERR_UNSUPPORTED: these credentials require a
 * person; ERR_NOMEM; errors of secret_fetch() and aws_profiles_read().
 */
MUST_CHECK enum err aws_key_source_find(const struct aws_setup *setup,
                                        struct aws_key_source *ret_source, struct why *why);
/* Overwrites everything read. Accepts zeroed memory. */
void aws_key_source_fini(struct aws_key_source *source);

#endif
