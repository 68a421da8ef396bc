/*
 * keys.h - keys that sign requests to AWS, and the places where they are found: answers, settings,
 * variables, files, programs. Freed memory is overwritten. Messages never contain any part of a
 * key.
 *
 * Threads: everything of one destination belongs to its thread.
 */
#ifndef BACKEND_AWS_KEYS_H
#define BACKEND_AWS_KEYS_H

#include "backend/settings.h"
#include "base/buf.h"
#include "net/sigv4.h"
#include "sys/env.h"

enum {
    AWS_ANSWER_BYTES_MAX = 64 << 10,
    AWS_KEY_BYTES_MAX = 256, /* for an access key, and for a secret key */
    AWS_SESSION_TOKEN_BYTES_MAX = 16 << 10,
};

/* Zeroed: no keys. */
struct aws_keys {
    struct sigv4_credentials views; /* into `memory` */
    int64_t expires_s;              /* Unix; 0: never */
    uint8_t *memory;
    size_t memory_bytes;
    struct budget *budget;
};

static inline bool
aws_keys_given(const struct aws_keys *keys)
{
    return keys->memory != NULL;
}

/* Replaces the keys by copies of these texts. ERR_INPUT: one is missing, too long, or has
 * invalid bytes (they become lines of requests); ERR_NOMEM. An error changes nothing. */
MUST_CHECK enum err aws_keys_set(struct aws_keys *keys, struct budget *budget,
                                 const struct sigv4_credentials *from, int64_t expires_s,
                                 struct why *why);
void aws_keys_wipe(struct aws_keys *keys);
bool aws_keys_equal(const struct aws_keys *a, const struct aws_keys *b);

/* The origin of a JSON answer, which decides the names of members. */
enum aws_keys_form {
    AWS_KEYS_OF_SERVICE, /* containers and instances */
    AWS_KEYS_OF_PROCESS, /* "Version": 1 */
};

/* Parses keys from such an answer. ERR_INPUT: it is not such an answer, or has no keys;
 * ERR_LIMIT: longer than AWS_ANSWER_BYTES_MAX; ERR_NOMEM. An error changes nothing. */
MUST_CHECK enum err aws_keys_from_json(struct aws_keys *keys, struct budget *budget,
                                       struct bytes answer, enum aws_keys_form form,
                                       struct why *why);
/* Does the same for answers of STS, the security token service. */
MUST_CHECK enum err aws_keys_from_xml(struct aws_keys *keys, struct budget *budget,
                                      struct bytes answer, struct why *why);

/* True if a text may be part of a header line: visible ASCII, with blanks inside. */
bool aws_is_header_text(struct bytes text);

/* --- the machine's configuration -------------------------------------------------------------- */

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

/* --- programs --------------------------------------------------------------------------------- */

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

/* --- sources ---------------------------------------------------------------------------------- */

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
 * Finds the source of a destination's credentials: the first that has any, and the roles to be
 * assumed with them. Reads settings, variables and files; sends no requests. Each fetch searches
 * again, so that changed files and secrets take effect.
 *
 * The order: own settings, environment, web identity, profile, container, instance. A profile named
 * in the settings is an own setting: then environment and web identity are skipped.
 *
 * The source is given, for aws_key_source_fini(), also after an error. ERR_MISSING: no
 * source has credentials, or one that is named does not exist; ERR_INPUT: a source is invalid (half
 * a pair of keys, profiles in a circle); ERR_LIMIT; ERR_UNSUPPORTED: these credentials require a
 * person; ERR_NOMEM; errors of secret_fetch() and aws_profiles_read().
 */
MUST_CHECK enum err aws_key_source_find(const struct aws_setup *setup,
                                        struct aws_key_source *ret_source, struct why *why);
/* Overwrites everything read. Accepts zeroed memory. */
void aws_key_source_fini(struct aws_key_source *source);

#endif
