/*
 * keys.c - keeps three texts in one piece of memory, so that only one place has to be overwritten.
 *
 * Answers are not kept here; texts that had to be copied out of them, because of escapes or XML,
 * are overwritten before their memory is freed.
 */
#include "backend/aws/keys.h"

#include <stdio.h>
#include <strings.h>

#include "backend/aws/aws.h"
#include "base/text/time_text.h"
#include "wire/json/json_scan.h"

/* --- keys ------------------------------------------------------------------------------------- */

bool
aws_is_header_text(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.at[i] < 0x20 || text.at[i] > 0x7e) return false;
    return text.size == 0 || (text.at[0] != ' ' && text.at[text.size - 1] != ' ');
}

static enum err
keys_check_text(struct bytes text, const char *name, size_t bytes_max, struct why *why)
{
    bool blank = text.size > 0 && memchr(text.at, ' ', text.size) != NULL;
    if (text.size <= bytes_max && !blank && aws_is_header_text(text)) return OK;
    return why_set(why, ERR_INPUT, "the %s is %s", name,
                   text.size > bytes_max ? "too long" : "not printable ASCII without spaces");
}

static struct bytes
take_copy(uint8_t **to, struct bytes from)
{
    uint8_t *at = *to;
    if (from.size > 0) memcpy(at, from.at, from.size);
    *to += from.size;
    return bytes_of(at, from.size);
}

enum err
aws_keys_set(struct aws_keys *keys, struct budget *budget, const struct sigv4_credentials *from,
             int64_t expires_s, struct why *why)
{
    enum err e = keys_check_text(from->access_key, "access key", AWS_KEY_BYTES_MAX, why);
    if (e == OK) e = keys_check_text(from->secret_key, "secret key", AWS_KEY_BYTES_MAX, why);
    if (e == OK)
        e = keys_check_text(from->session_token, "session token", AWS_SESSION_TOKEN_BYTES_MAX, why);
    if (e) return e;
    if (from->access_key.size == 0 || from->secret_key.size == 0) {
        return why_set(why, ERR_INPUT, "missing %s key",
                       from->access_key.size == 0 ? "access" : "secret");
    }
    struct aws_keys made = {.expires_s = expires_s, .budget = budget};
    made.memory_bytes = from->access_key.size + from->secret_key.size + from->session_token.size;
    made.memory = mem_alloc(budget, made.memory_bytes);
    if (made.memory == NULL) return why_set(why, ERR_NOMEM, "not enough memory for keys");
    uint8_t *at = made.memory;
    made.views.access_key = take_copy(&at, from->access_key);
    made.views.secret_key = take_copy(&at, from->secret_key);
    made.views.session_token = take_copy(&at, from->session_token);
    aws_keys_wipe(keys);
    *keys = made;
    return OK;
}

void
aws_keys_wipe(struct aws_keys *keys)
{
    mem_free_secret(keys->budget, keys->memory, keys->memory_bytes);
    *keys = (struct aws_keys){.memory = NULL};
}

bool
aws_keys_equal(const struct aws_keys *a, const struct aws_keys *b)
{
    return bytes_equal(a->views.access_key, b->views.access_key) &&
           bytes_equal(a->views.secret_key, b->views.secret_key) &&
           bytes_equal(a->views.session_token, b->views.session_token);
}

/* --- JSON ------------------------------------------------------------------------------------- */

struct keys_answer {
    struct bytes access_key;
    struct bytes secret_key;
    struct bytes session_token;
    struct bytes expiration;
    struct bytes code;    /* from containers and instances: "Success" */
    struct bytes version; /* from a process: 1 */
};

static void
take_member(struct scan *s, struct bytes key, struct keys_answer *a)
{
    const struct {
        const char *name;
        struct bytes *to;
    } texts[] = {
        {"AccessKeyId", &a->access_key}, {"SecretAccessKey", &a->secret_key},
        {"Token", &a->session_token},    {"SessionToken", &a->session_token},
        {"Expiration", &a->expiration},  {"Code", &a->code},
    };
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!bytes_equal_text(key, texts[i].name)) continue;
        if (scan_peek(s) == '"') {
            *texts[i].to = scan_text(s);
            return;
        }
        if (scan_peek(s) != 'n') scan_fail(s, "expected a string in double quotes");
        scan_null(s);
        *texts[i].to = bytes_of(NULL, 0);
        return;
    }
    if (bytes_equal_text(key, "Version") && scan_peek(s) == '1')
        a->version = scan_number(s);
    else
        scan_skip(s);
}

static enum err
parse_expiration(struct bytes text, int64_t *ret_s, struct why *why)
{
    int64_t ms = 0;
    if (text.size > 0 && !time_parse_rfc3339(text, &ms)) {
        return why_set(why, ERR_INPUT,
                       "invalid Expiration in the response: expected a time as in RFC 3339");
    }
    *ret_s = ms / 1000;
    return OK;
}

static enum err
keys_take_answer(struct aws_keys *keys, struct budget *budget, const struct keys_answer *a,
                 enum aws_keys_form form, struct why *why)
{
    int64_t expires_s = 0;
    if (form == AWS_KEYS_OF_PROCESS && !bytes_equal_text(a->version, "1"))
        return why_set(why, ERR_INPUT, "unknown Version in the response: expected 1");
    if (a->code.size > 0 && !bytes_equal_text(a->code, "Success")) {
        bool word = a->code.size <= 64 && aws_is_header_text(a->code);
        return why_set(why, ERR_INPUT, "the response has Code %.*s: expected Success",
                       word ? (int)a->code.size : 2, word ? (const char *)a->code.at : "??");
    }
    enum err e = parse_expiration(a->expiration, &expires_s, why);
    if (e) return e;
    const struct sigv4_credentials views = {a->access_key, a->secret_key, a->session_token};
    return aws_keys_set(keys, budget, &views, expires_s, why);
}

enum err
aws_keys_from_json(struct aws_keys *keys, struct budget *budget, struct bytes answer,
                   enum aws_keys_form form, struct why *why)
{
    struct arena arena;
    struct keys_answer a = {0};
    struct bytes key;
    if (answer.size > AWS_ANSWER_BYTES_MAX) {
        return why_set(why, ERR_LIMIT, "the response must be at most %d bytes",
                       AWS_ANSWER_BYTES_MAX);
    }
    arena_init_secret(&arena, budget, 4 * AWS_ANSWER_BYTES_MAX, 0);
    struct scan s = scan_of(answer, &arena);
    scan_expect(&s, '{');
    while (s.bad == NULL && scan_key(&s, &key))
        take_member(&s, key, &a);
    scan_end(&s);
    enum err e = s.bad != NULL
                     ? why_set(why, s.error, "the response is not a valid JSON object: %s", s.bad)
                     : keys_take_answer(keys, budget, &a, form, why);
    arena_fini(&arena);
    return e;
}

/* --- XML -------------------------------------------------------------------------------------- */

/* One byte more than allowed, and NUL, so that a text that is too long is detected. */
struct xml_texts {
    char access_key[AWS_KEY_BYTES_MAX + 2];
    char secret_key[AWS_KEY_BYTES_MAX + 2];
    char session_token[AWS_SESSION_TOKEN_BYTES_MAX + 2];
    char expiration[TIME_TEXT_BYTES];
};

enum err
aws_keys_from_xml(struct aws_keys *keys, struct budget *budget, struct bytes answer,
                  struct why *why)
{
    static const char *const roots[] = {"AssumeRoleResponse", "AssumeRoleWithWebIdentityResponse",
                                        NULL};
    struct xml_texts t;
    struct aws_xml_field fields[] = {
        {"Credentials", "AccessKeyId", t.access_key, sizeof t.access_key},
        {"Credentials", "SecretAccessKey", t.secret_key, sizeof t.secret_key},
        {"Credentials", "SessionToken", t.session_token, sizeof t.session_token},
        {"Credentials", "Expiration", t.expiration, sizeof t.expiration},
    };
    int64_t expires_s = 0;
    enum err e = aws_xml_read(answer, roots, fields, sizeof fields / sizeof *fields);
    if (e == ERR_MISSING) e = ERR_INPUT;
    if (e) {
        e = why_set(why, e, "the response of STS does not contain credentials");
        goto out;
    }
    e = parse_expiration(bytes_of_text(t.expiration), &expires_s, why);
    if (e) goto out;
    const struct sigv4_credentials views = {
        bytes_of_text(t.access_key), bytes_of_text(t.secret_key), bytes_of_text(t.session_token)};
    e = aws_keys_set(keys, budget, &views, expires_s, why);
out:
    explicit_bzero(&t, sizeof t);
    return e;
}

/* --- sources ---------------------------------------------------------------------------------- */

/* One function per source decides whether the source applies. A source that exists but is invalid
 * is an error, and does not lead to the next one: keys of another account would be worse. */

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
    if (!secret_given(&s->access_key) || !secret_given(&s->secret_key))
        return why_set(p->why, ERR_INPUT, "access_key and secret_key must be set together");
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
                         strncasecmp((const char *)source.at, names[found], source.size) != 0))
        found++;
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
        for (uint32_t i = 0; i < count; i++)
            circle |= bytes_equal(seen[i], name);
        snprintf(p->source->label, sizeof p->source->label, "profile '%.*s'",
                 (int)(name.size < NAME_SHOWN_MAX ? name.size : NAME_SHOWN_MAX),
                 (const char *)name.at);
        if (!aws_profiles_find(&p->source->files, name, &profile)) {
            *ret_has = false;
            if (count == 0 && !named) return OK;
            return why_set(p->why, ERR_MISSING, "profile not found");
        }
        if (circle && !has_keys(&profile))
            return why_set(p->why, ERR_INPUT, "its source_profile refers back to the profile");
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
        if (setup->settings->external_id != NULL)
            role.external_id = bytes_of_text(setup->settings->external_id);
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
