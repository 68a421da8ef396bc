/*
 * profile.h - reads the machine's AWS configuration: variables of the environment, and the shared
 * files ~/.aws/config and ~/.aws/credentials with their profiles.
 *
 * Threads: none of its own; everything of one destination belongs to its thread.
 */
#ifndef BACKEND_AWS_PROFILE_H
#define BACKEND_AWS_PROFILE_H

#include "backend/settings.h"
#include "base/buf.h"
#include "sys/env.h"

/* Accesses variables of the environment. `get` returns NULL if a variable is not set; its
 * results live as long as the process. */
struct aws_variables {
    const char *(*get)(void *context, const char *name);
    void *context;
};
/* getenv() */
extern const struct aws_variables aws_variables_real;

/* The inputs of a destination's AWS configuration. Borrowed: outlives all users. */
struct aws_setup {
    struct env *env;
    struct budget *memory; /* may be NULL */
    const struct aws_settings *settings;
    const struct aws_variables *variables;
};

/* Returns NULL if a variable is not set, or empty. */
const char *aws_variable(const struct aws_setup *setup, const char *name);

/* Appends a whole file to `to`, in one piece of memory, so that no copy of a secret remains.
 * ERR_LIMIT: more than `bytes_max`; ERR_AGAIN: it grew meanwhile; ERR_MISSING. */
MUST_CHECK enum err aws_file_read(struct env *env, const char *path, size_t bytes_max,
                                  struct buf *to, struct why *why);

/* --- profiles --------------------------------------------------------------------------------- */

enum aws_profile_key {
    AWS_PROFILE_ACCESS_KEY,
    AWS_PROFILE_SECRET_KEY,
    AWS_PROFILE_SESSION_TOKEN,
    AWS_PROFILE_REGION,
    AWS_PROFILE_ROLE_ARN,
    AWS_PROFILE_ROLE_SESSION_NAME,
    AWS_PROFILE_EXTERNAL_ID,
    AWS_PROFILE_DURATION_SECONDS,
    AWS_PROFILE_SOURCE_PROFILE,
    AWS_PROFILE_CREDENTIAL_SOURCE,
    AWS_PROFILE_WEB_IDENTITY_TOKEN_FILE,
    AWS_PROFILE_CREDENTIAL_PROCESS,
    AWS_PROFILE_MFA_SERIAL,
    AWS_PROFILE_SSO_SESSION,
    AWS_PROFILE_SSO_START_URL,
    AWS_PROFILE_KEY_COUNT
};

/* Settings of a profile: views into the text of the file; empty if not given. */
struct aws_profile {
    struct bytes values[AWS_PROFILE_KEY_COUNT];
};

enum aws_profile_file { AWS_FILE_CONFIG, AWS_FILE_CREDENTIALS };

/* Finds a profile by its name in the text of one file. False: not found. Invalid lines are
 * skipped, as the tools of AWS do. */
bool aws_profile_find(struct bytes text, enum aws_profile_file file, struct bytes name,
                      struct aws_profile *ret_profile);

/* The texts of both files. */
struct aws_profiles {
    struct buf config;
    struct buf credentials;
    struct why passed_over; /* why a file at its default path was not read; "": all were */
};

enum { AWS_PROFILES_BYTES_MAX = 1 << 20 /* per file */ };

/*
 * Reads the files that AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name, or those below HOME. A
 * missing file counts as empty, and so does one below HOME without permission to read it, which is
 * common for a service. Given: aws_profiles_fini(), also after an error. Errors of aws_file_read().
 */
MUST_CHECK enum err aws_profiles_read(const struct aws_setup *setup,
                                      struct aws_profiles *ret_profiles, struct why *why);
/* Overwrites everything read. Accepts zeroed memory. */
void aws_profiles_fini(struct aws_profiles *profiles);
/* Finds a profile in both files: ~/.aws/credentials takes precedence. */
bool aws_profiles_find(const struct aws_profiles *profiles, struct bytes name,
                       struct aws_profile *ret_profile);

/* Returns the name of the profile: from the settings, AWS_PROFILE, or "default". `ret_named`: it
 * was given. */
struct bytes aws_profile_name(const struct aws_setup *setup, bool *ret_named);

#endif
