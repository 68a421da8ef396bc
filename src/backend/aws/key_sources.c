/*
 * key_sources.c - one function per source decides whether the source applies. A source that exists
 * but is invalid is an error, and does not lead to the next one: keys of another account would be
 * worse.
 */
#include "backend/aws/key_sources.h"

#include <stdio.h>
#include <strings.h>

enum {
    SECRETS_BYTES_MAX = 2 * (AWS_KEY_BYTES_MAX + 1) + AWS_SESSION_TOKEN_BYTES_MAX + 1,
    NAME_SHOWN_MAX = 64, /* bytes of a profile's name in a message */
};

struct key_look {
    const struct aws_setup *setup;
    struct aws_key_source *source;
    struct why *why;
};

static enum err
add_role(const struct key_look *p, const struct aws_role *role)
{
    if (p->source->role_count == AWS_ROLES_MAX) {
        return why_set(p->why, ERR_LIMIT, "too many roles to assume: at most %d are supported",
                       AWS_ROLES_MAX);
    }
    p->source->roles[p->source->role_count++] = *role;
    return OK;
}

static void
choose_source(const struct key_look *p, enum aws_key_source_kind kind, const char *label)
{
    p->source->kind = kind;
    snprintf(p->source->label, sizeof p->source->label, "%s", label);
}

/* --- settings --------------------------------------------------------------------------------- */

/* Appends the secret, if it is given, to `to`. *ret_end is the new size of `to`. */
static enum err
fetch_part(const struct key_look *p, const struct secret *secret, const char *name, struct buf *to,
           size_t *ret_end)
{
    enum err e = OK;
    if (secret_given(secret)) {
        e = secret_fetch(secret, to, p->why);
        if (e) return why_prefix(p->why, e, "%s", name);
    }
    *ret_end = to->size;
    return OK;
}

static enum err
try_settings(const struct key_look *p)
{
    const struct aws_settings *s = p->setup->settings;
    size_t access = 0, secret = 0, token = 0;
    struct buf texts;
    choose_source(p, AWS_FROM_SETTINGS, "the settings");
    if (!secret_given(&s->access_key) || !secret_given(&s->secret_key)) {
        return why_set(p->why, ERR_INPUT, "access_key and secret_key must be set together");
    }
    buf_init_secret(&texts, p->setup->memory, SECRETS_BYTES_MAX);
    enum err e = fetch_part(p, &s->access_key, "access_key", &texts, &access);
    if (e == OK) e = fetch_part(p, &s->secret_key, "secret_key", &texts, &secret);
    if (e == OK) e = fetch_part(p, &s->session_token, "session_token", &texts, &token);
    if (e == OK) {
        const struct sigv4_credentials views = {bytes_of(texts.at, access),
                                                bytes_of(texts.at + access, secret - access),
                                                bytes_of(texts.at + secret, token - secret)};
        e = aws_keys_set(&p->source->keys, p->setup->memory, &views, 0, p->why);
    }
    buf_fini(&texts);
    return e;
}

/* --- environment ------------------------------------------------------------------------------ */

static struct bytes
variable(const struct key_look *p, const char *name)
{
    const char *value = aws_variable(p->setup, name);
    return value == NULL ? bytes_of(NULL, 0) : bytes_of_text(value);
}

static enum err
try_environment(const struct key_look *p)
{
    const struct sigv4_credentials views = {variable(p, "AWS_ACCESS_KEY_ID"),
                                            variable(p, "AWS_SECRET_ACCESS_KEY"),
                                            variable(p, "AWS_SESSION_TOKEN")};
    choose_source(p, AWS_FROM_ENVIRONMENT, "the environment");
    return aws_keys_set(&p->source->keys, p->setup->memory, &views, 0, p->why);
}

/* --- the machine ------------------------------------------------------------------------------ */

static bool
is_in_container(const struct aws_setup *setup)
{
    return aws_variable(setup, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != NULL ||
           aws_variable(setup, "AWS_CONTAINER_CREDENTIALS_FULL_URI") != NULL;
}

static enum err
try_instance(const struct key_look *p, const char *label)
{
    const char *disabled = aws_variable(p->setup, "AWS_EC2_METADATA_DISABLED");
    choose_source(p, AWS_FROM_INSTANCE, label);
    if (disabled == NULL || strcasecmp(disabled, "true") != 0) return OK;
    return why_set(p->why, ERR_MISSING, "disabled by AWS_EC2_METADATA_DISABLED");
}

/* --- profiles --------------------------------------------------------------------------------- */

static bool
profile_has(const struct aws_profile *profile, enum aws_profile_key key)
{
    return profile->values[key].size > 0;
}

static bool
has_keys(const struct aws_profile *profile)
{
    return profile_has(profile, AWS_PROFILE_ACCESS_KEY) ||
           profile_has(profile, AWS_PROFILE_SECRET_KEY);
}

static enum err
try_profile_keys(const struct key_look *p, const struct aws_profile *profile)
{
    const struct sigv4_credentials views = {profile->values[AWS_PROFILE_ACCESS_KEY],
                                            profile->values[AWS_PROFILE_SECRET_KEY],
                                            profile->values[AWS_PROFILE_SESSION_TOKEN]};
    p->source->kind = AWS_FROM_PROFILE;
    return aws_keys_set(&p->source->keys, p->setup->memory, &views, 0, p->why);
}

static enum err
try_credential_source(const struct key_look *p, struct bytes source)
{
    static const char *const names[] = {"Environment", "EcsContainer", "Ec2InstanceMetadata"};
    unsigned found = 0;
    while (found < 3 && (source.size != strlen(names[found]) ||
                         strncasecmp((const char *)source.at, names[found], source.size) != 0)) {
        found++;
    }
    switch (found) {
    case 0:
        return try_environment(p);
    case 1:
        choose_source(p, AWS_FROM_CONTAINER, "the container");
        if (is_in_container(p->setup)) return OK;
        return why_set(p->why, ERR_MISSING,
                       "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor "
                       "AWS_CONTAINER_CREDENTIALS_FULL_URI is set");
    case 2:
        return try_instance(p, "the instance metadata");
    default:
        return why_set(p->why, ERR_INPUT, "invalid credential_source: expected %s, %s or %s",
                       names[0], names[1], names[2]);
    }
}

static enum err
read_role(const struct key_look *p, const struct aws_profile *profile, struct aws_role *ret)
{
    struct aws_role role = {
        .arn = profile->values[AWS_PROFILE_ROLE_ARN],
        .session_name = profile->values[AWS_PROFILE_ROLE_SESSION_NAME],
        .external_id = profile->values[AWS_PROFILE_EXTERNAL_ID],
        .duration_s = profile->values[AWS_PROFILE_DURATION_SECONDS],
    };
    for (size_t i = 0; i < role.duration_s.size; i++) {
        uint8_t c = role.duration_s.at[i];
        if (c < '0' || c > '9' || i == 5) {
            return why_set(p->why, ERR_INPUT,
                           "invalid duration_seconds: expected a number of seconds");
        }
    }
    if (profile_has(profile, AWS_PROFILE_MFA_SERIAL)) {
        return why_set(p->why, ERR_UNSUPPORTED,
                       "mfa_serial is not supported: it requires a person with an MFA device");
    }
    *ret = role;
    return OK;
}

/* Takes the role of a profile. `ret_next` is the profile with the keys to assume it, and is
 * unchanged if there is none. */
static enum err
try_profile_role(const struct key_look *p, const struct aws_profile *profile,
                 struct bytes *ret_next)
{
    struct aws_role role;
    enum err e = read_role(p, profile, &role);
    if (e) return e;
    if (profile_has(profile, AWS_PROFILE_WEB_IDENTITY_TOKEN_FILE)) {
        p->source->kind = AWS_FROM_WEB_IDENTITY;
        p->source->profile_token_file = profile->values[AWS_PROFILE_WEB_IDENTITY_TOKEN_FILE];
        p->source->web_role = role;
        return OK;
    }
    bool profile_named = profile_has(profile, AWS_PROFILE_SOURCE_PROFILE);
    bool source_named = profile_has(profile, AWS_PROFILE_CREDENTIAL_SOURCE);
    if (profile_named == source_named) {
        return why_set(p->why, ERR_INPUT,
                       "role_arn requires exactly one of source_profile, credential_source and "
                       "web_identity_token_file");
    }
    e = add_role(p, &role);
    if (e) return e;
    if (profile_named) {
        *ret_next = profile->values[AWS_PROFILE_SOURCE_PROFILE];
        return OK;
    }
    return try_credential_source(p, profile->values[AWS_PROFILE_CREDENTIAL_SOURCE]);
}

/*
 * Takes the keys or the role of a profile. `is_source`: another profile refers to it; then its keys
 * precede its role, so that a profile may refer to itself. `ret_has`: it has one of them.
 */
static enum err
try_one_profile(const struct key_look *p, const struct aws_profile *profile, bool is_source,
                bool *ret_has, struct bytes *ret_next)
{
    *ret_has = true;
    if (is_source && has_keys(profile)) return try_profile_keys(p, profile);
    if (profile_has(profile, AWS_PROFILE_ROLE_ARN)) return try_profile_role(p, profile, ret_next);
    if (has_keys(profile)) return try_profile_keys(p, profile);
    if (profile_has(profile, AWS_PROFILE_CREDENTIAL_PROCESS)) {
        p->source->kind = AWS_FROM_PROCESS;
        p->source->command = profile->values[AWS_PROFILE_CREDENTIAL_PROCESS];
        return OK;
    }
    if (profile_has(profile, AWS_PROFILE_SSO_SESSION) ||
        profile_has(profile, AWS_PROFILE_SSO_START_URL)) {
        return why_set(p->why, ERR_UNSUPPORTED,
                       "SSO is not supported: it requires a person with a browser");
    }
    *ret_has = false;
    return is_source ? why_set(p->why, ERR_MISSING, "the profile has no credentials") : OK;
}

/* Follows source_profile; each profile has a role for the one before. `ret_has` false: not
 * found. */
static enum err
follow_profiles(const struct key_look *p, bool *ret_has)
{
    struct bytes seen[AWS_ROLES_MAX + 1];
    bool named;
    struct bytes name = aws_profile_name(p->setup, &named);
    for (uint32_t count = 0; name.size > 0; count++) {
        struct aws_profile profile;
        struct bytes next = {NULL, 0};
        bool circle = false;
        for (uint32_t i = 0; i < count; i++) {
            circle |= bytes_equal(seen[i], name);
        }
        snprintf(p->source->label, sizeof p->source->label, "profile '%.*s'",
                 (int)(name.size < NAME_SHOWN_MAX ? name.size : NAME_SHOWN_MAX),
                 (const char *)name.at);
        if (!aws_profiles_find(&p->source->files, name, &profile)) {
            *ret_has = false;
            if (count == 0 && !named) return OK;
            return why_set(p->why, ERR_MISSING, "profile not found");
        }
        if (circle && !has_keys(&profile)) {
            return why_set(p->why, ERR_INPUT, "its source_profile refers back to the profile");
        }
        enum err e = try_one_profile(p, &profile, count > 0, ret_has, &next);
        if (e) return e;
        seen[count] =
            name; /* in bounds: each step but the last adds a role, and roles are limited */
        name = next;
    }
    return OK;
}

/* --- order of sources ------------------------------------------------------------------------- */

static enum err
try_source(const struct key_look *p)
{
    const struct aws_settings *s = p->setup->settings;
    bool has_some = false;
    if (secret_given(&s->access_key) || secret_given(&s->secret_key)) return try_settings(p);
    if (s->profile == NULL) {
        bool named = aws_variable(p->setup, "AWS_ACCESS_KEY_ID") != NULL ||
                     aws_variable(p->setup, "AWS_SECRET_ACCESS_KEY") != NULL;
        const char *token_file = aws_variable(p->setup, "AWS_WEB_IDENTITY_TOKEN_FILE");
        if (named) return try_environment(p);
        if (token_file != NULL) {
            choose_source(p, AWS_FROM_WEB_IDENTITY, "web identity");
            p->source->token_file = token_file;
            p->source->web_role.arn = variable(p, "AWS_ROLE_ARN");
            p->source->web_role.session_name = variable(p, "AWS_ROLE_SESSION_NAME");
            if (p->source->web_role.arn.size > 0) return OK;
            return why_set(p->why, ERR_INPUT, "AWS_WEB_IDENTITY_TOKEN_FILE requires AWS_ROLE_ARN");
        }
    }
    choose_source(p, AWS_FROM_PROFILE, "the shared config files");
    enum err e = aws_profiles_read(p->setup, &p->source->files, p->why);
    if (e == OK) e = follow_profiles(p, &has_some);
    if (e || has_some) return e;
    if (is_in_container(p->setup)) {
        choose_source(p, AWS_FROM_CONTAINER, "the container");
        return OK;
    }
    return try_instance(p, "the instance metadata (no other source has credentials)");
}

enum err
aws_key_source_find(const struct aws_setup *setup, struct aws_key_source *ret_source,
                    struct why *why)
{
    struct why cause = {""};
    const struct key_look p = {setup, ret_source, &cause};
    *ret_source = (struct aws_key_source){.label = "the settings"};
    enum err e = OK;
    if (setup->settings->role_arn != NULL) {
        struct aws_role role = {.arn = bytes_of_text(setup->settings->role_arn)};
        if (setup->settings->external_id != NULL) {
            role.external_id = bytes_of_text(setup->settings->external_id);
        }
        e = add_role(&p, &role);
    }
    if (e == OK) e = try_source(&p);
    if (e == OK) return OK;
    const char *passed_over = ret_source->files.passed_over.text;
    return why_set(why, e, "%s: %.200s%s%.150s", ret_source->label, why_text(&cause, e),
                   passed_over[0] == '\0' ? "" : "; ", passed_over);
}

void
aws_key_source_fini(struct aws_key_source *source)
{
    aws_keys_wipe(&source->keys);
    aws_profiles_fini(&source->files);
    *source = (struct aws_key_source){.role_count = 0};
}
