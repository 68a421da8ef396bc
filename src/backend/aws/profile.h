/*
 * profile.h - what the machine says of AWS: variables of the environment, and the shared files
 * ~/.aws/config and ~/.aws/credentials with their profiles.
 *
 * Threads: none of its own; everything of one destination belongs to its thread.
 */
#ifndef BACKEND_AWS_PROFILE_H
#define BACKEND_AWS_PROFILE_H

#include "backend/settings.h"
#include "base/buf.h"
#include "sys/env.h"

/* Where variables of the environment come from. `get` gives NULL where there is none; what it
 * gives stays as it is. */
struct aws_variables {
    const char *(*get)(void *context, const char *name);
    void *context;
};
/* getenv() */
extern const struct aws_variables aws_variables_real;

/* All that tells one destination who and where it is. Borrowed: it outlives whom it is given to. */
struct aws_setup {
    struct env *env;
    struct budget *memory; /* may be NULL */
    const struct aws_settings *settings;
    const struct aws_variables *variables;
};

/* NULL: not set, or set to nothing. */
const char *aws_variable(const struct aws_setup *setup, const char *name);

/*
 * A whole file after what is in `to`, in one piece of memory, so that no copy of a secret is left
 * behind. ERR_LIMIT: more than `bytes_max`; ERR_AGAIN: it grew meanwhile; ERR_MISSING.
 */
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

/* Values are views of the text they were found in; empty: not given. */
struct aws_profile {
    struct bytes values[AWS_PROFILE_KEY_COUNT];
};

enum aws_profile_file { AWS_FILE_CONFIG, AWS_FILE_CREDENTIALS };

/*
 * The profile of that name in the text of one file. False: there is none. Any text will do: lines
 * that make no sense are passed over, as the tools of AWS do it.
 */
bool aws_profile_find(struct bytes text, enum aws_profile_file file, struct bytes name,
                      struct aws_profile *ret_profile);

/* Both files, in memory. */
struct aws_profiles {
    struct buf config;
    struct buf credentials;
    struct why passed_over; /* why a file at its usual place was not read; "": nothing was */
};

enum { AWS_PROFILES_BYTES_MAX = 1 << 20 /* of one file */ };

/*
 * Reads the files that AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name, or those below HOME;
 * a file that is not there is empty, and so is one below HOME that must not be read: for a service
 * that is common. Given: aws_profiles_fini(), also after an error. Errors of aws_file_read().
 */
MUST_CHECK enum err aws_profiles_read(const struct aws_setup *setup,
                                      struct aws_profiles *ret_profiles, struct why *why);
/* Overwrites what was read. Accepts zeroed memory. */
void aws_profiles_fini(struct aws_profiles *profiles);
/* What both files say of a profile: where both say something, ~/.aws/credentials counts. */
bool aws_profiles_find(const struct aws_profiles *profiles, struct bytes name,
                       struct aws_profile *ret_profile);

/* The profile meant: of the settings, of AWS_PROFILE, or "default". `ret_named`: somebody did say
 * which. */
struct bytes aws_profile_name(const struct aws_setup *setup, bool *ret_named);

#endif
