/*
 * profile.c - parses the shared files. Their form:
 *
 *     [profile NAME]        in the config file; [default] and [profile default] are the same one,
 *     [NAME]                in the credentials file     but the latter counts if both are there
 *     key = value           any case of the key; " #" or " ;" begins a comment
 *       key = value         indented: belongs to the key above; ignored here
 *     # comment             also ";"
 *
 * A section may be repeated, and so may a key: the last one counts.
 */
#include "backend/aws/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { PATH_BYTES = 1024 };

static const char *
real_get(void *context, const char *name)
{
    (void)context;
    return getenv(name);
}

const struct aws_variables aws_variables_real = {.get = real_get};

const char *
aws_variable(const struct aws_setup *setup, const char *name)
{
    const char *value = setup->variables->get(setup->variables->context, name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

/* Reads one byte more than the file's size: getting it means that the file grew, or has no size. */
enum err
aws_file_read(struct env *env, const char *path, size_t bytes_max, struct buf *to, struct why *why)
{
    struct file file = FILE_CLOSED;
    uint64_t size;
    size_t got;
    enum err e = file_open(env, path, FILE_READ, &file, why);
    if (e) goto out;
    e = file_size(&file, &size, why);
    if (e) goto out;
    if (size > bytes_max) {
        e = why_set(why, ERR_LIMIT, "cannot read %s: the file is larger than %zu bytes", path,
                    bytes_max);
        goto out;
    }
    if (!buf_reserve(to, (size_t)size + 1)) {
        e = why_set(why, buf_error(to), "cannot read %s: not enough memory", path);
        goto out;
    }
    e = file_read_some(&file, to->at + to->size, (size_t)size + 1, 0, &got, why);
    if (e) goto out;
    if (got > size) {
        e = why_set(why, ERR_AGAIN, "cannot read %s: the file changed while it was read", path);
        goto out;
    }
    to->size += got;
out:
    err_ignore(file_close(&file), "only read");
    return e;
}

/* --- one text --------------------------------------------------------------------------------- */

static bool
is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct bytes
trimmed(struct bytes text)
{
    while (text.size > 0 && is_blank(text.at[0]))
        text = bytes_of(text.at + 1, text.size - 1);
    while (text.size > 0 && is_blank(text.at[text.size - 1]))
        text.size--;
    return text;
}

/* Matches "[profile x]" with the word `prefix`, or "[x]" without a prefix. */
static bool
is_section(struct bytes line, const char *prefix, struct bytes name)
{
    const uint8_t *close = memchr(line.at, ']', line.size);
    if (close == NULL) return false;
    struct bytes inner = trimmed(bytes_of(line.at + 1, (size_t)(close - line.at) - 1));
    if (prefix != NULL) {
        size_t size = strlen(prefix);
        if (inner.size <= size || memcmp(inner.at, prefix, size) != 0) return false;
        if (!is_blank(inner.at[size])) return false;
        inner = trimmed(bytes_of(inner.at + size, inner.size - size));
    }
    bool quoted = inner.size >= 2 && (inner.at[0] == '"' || inner.at[0] == '\'') &&
                  inner.at[inner.size - 1] == inner.at[0];
    if (quoted) inner = bytes_of(inner.at + 1, inner.size - 2);
    return bytes_equal(inner, name);
}

static enum aws_profile_key
profile_key_of(struct bytes name)
{
    static const char *const names[AWS_PROFILE_KEY_COUNT] = {
        [AWS_PROFILE_ACCESS_KEY] = "aws_access_key_id",
        [AWS_PROFILE_SECRET_KEY] = "aws_secret_access_key",
        [AWS_PROFILE_SESSION_TOKEN] = "aws_session_token",
        [AWS_PROFILE_REGION] = "region",
        [AWS_PROFILE_ROLE_ARN] = "role_arn",
        [AWS_PROFILE_ROLE_SESSION_NAME] = "role_session_name",
        [AWS_PROFILE_EXTERNAL_ID] = "external_id",
        [AWS_PROFILE_DURATION_SECONDS] = "duration_seconds",
        [AWS_PROFILE_SOURCE_PROFILE] = "source_profile",
        [AWS_PROFILE_CREDENTIAL_SOURCE] = "credential_source",
        [AWS_PROFILE_WEB_IDENTITY_TOKEN_FILE] = "web_identity_token_file",
        [AWS_PROFILE_CREDENTIAL_PROCESS] = "credential_process",
        [AWS_PROFILE_MFA_SERIAL] = "mfa_serial",
        [AWS_PROFILE_SSO_SESSION] = "sso_session",
        [AWS_PROFILE_SSO_START_URL] = "sso_start_url",
    };
    for (unsigned i = 0; i < AWS_PROFILE_KEY_COUNT; i++)
        if (name.size == strlen(names[i]) &&
            strncasecmp((const char *)name.at, names[i], name.size) == 0)
            return (enum aws_profile_key)i;
    return AWS_PROFILE_KEY_COUNT;
}

static void
profile_take_line(struct bytes line, struct aws_profile *profile)
{
    const uint8_t *equals = memchr(line.at, '=', line.size);
    if (equals == NULL) return;
    size_t name_size = (size_t)(equals - line.at);
    enum aws_profile_key key = profile_key_of(trimmed(bytes_of(line.at, name_size)));
    if (key == AWS_PROFILE_KEY_COUNT) return;
    struct bytes value = trimmed(bytes_of(equals + 1, line.size - name_size - 1));
    /* A command line has its own quotes, in which the mark of a comment is literal. */
    for (size_t i = 1; i < value.size && key != AWS_PROFILE_CREDENTIAL_PROCESS; i++) {
        bool begins = value.at[i] == '#' || value.at[i] == ';';
        if (begins && is_blank(value.at[i - 1])) value = trimmed(bytes_of(value.at, i));
    }
    profile->values[key] = value;
}

static bool
find_section(struct bytes text, const char *prefix, struct bytes name, struct aws_profile *ret)
{
    struct aws_profile profile = {0};
    struct cursor c = cursor_of(text);
    struct bytes line;
    bool inside = false, found = false;
    if (text.size >= 3 && memcmp(text.at, "\xef\xbb\xbf", 3) == 0) c.at += 3;
    while (cursor_left(&c) > 0) {
        const uint8_t *end = memchr(c.at, '\n', cursor_left(&c));
        line = cursor_bytes(&c, end == NULL ? cursor_left(&c) : (size_t)(end - c.at));
        if (end != NULL) c.at++;
        if (line.size > 0 && line.at[line.size - 1] == '\r') line.size--;
        if (line.size == 0 || is_blank(line.at[0]) || line.at[0] == '#' || line.at[0] == ';')
            continue;
        if (line.at[0] == '[') {
            inside = is_section(line, prefix, name);
            found |= inside;
        } else if (inside) {
            profile_take_line(line, &profile);
        }
    }
    if (found) *ret = profile;
    return found;
}

bool
aws_profile_find(struct bytes text, enum aws_profile_file file, struct bytes name,
                 struct aws_profile *ret_profile)
{
    if (file == AWS_FILE_CREDENTIALS) return find_section(text, NULL, name, ret_profile);
    if (find_section(text, "profile", name, ret_profile)) return true;
    return bytes_equal_text(name, "default") && find_section(text, NULL, name, ret_profile);
}

/* --- both files ------------------------------------------------------------------------------- */

static enum err
profile_read_one(const struct aws_setup *setup, const char *variable, const char *below_home,
                 struct buf *to, struct why *passed_over, struct why *why)
{
    struct why cause = {""};
    char path[PATH_BYTES];
    const char *named = aws_variable(setup, variable), *home = aws_variable(setup, "HOME");
    if (named == NULL && home == NULL) return OK;
    int size = named != NULL ? snprintf(path, sizeof path, "%s", named)
                             : snprintf(path, sizeof path, "%s/.aws/%s", home, below_home);
    if (size < 0 || (size_t)size >= sizeof path)
        return why_set(why, ERR_LIMIT, "the path in %s is too long", named ? variable : "HOME");
    enum err e = aws_file_read(setup->env, path, AWS_PROFILES_BYTES_MAX, to, &cause);
    if (e == ERR_MISSING) return OK;
    if (e != ERR_IO || named != NULL) return why_set(why, e, "%s", cause.text);
    *passed_over = cause;
    return OK;
}

enum err
aws_profiles_read(const struct aws_setup *setup, struct aws_profiles *ret_profiles, struct why *why)
{
    struct aws_profiles *p = ret_profiles;
    buf_init_secret(&p->config, setup->memory, AWS_PROFILES_BYTES_MAX + 1);
    buf_init_secret(&p->credentials, setup->memory, AWS_PROFILES_BYTES_MAX + 1);
    p->passed_over.text[0] = '\0';
    enum err e =
        profile_read_one(setup, "AWS_CONFIG_FILE", "config", &p->config, &p->passed_over, why);
    if (e) return e;
    return profile_read_one(setup, "AWS_SHARED_CREDENTIALS_FILE", "credentials", &p->credentials,
                            &p->passed_over, why);
}

void
aws_profiles_fini(struct aws_profiles *profiles)
{
    buf_fini(&profiles->config);
    buf_fini(&profiles->credentials);
}

bool
aws_profiles_find(const struct aws_profiles *profiles, struct bytes name,
                  struct aws_profile *ret_profile)
{
    struct aws_profile config = {0}, credentials = {0};
    bool found = aws_profile_find(buf_bytes(&profiles->config), AWS_FILE_CONFIG, name, &config);
    found |= aws_profile_find(buf_bytes(&profiles->credentials), AWS_FILE_CREDENTIALS, name,
                              &credentials);
    if (!found) return false;
    /* Keys belong together: the token of one file is not valid with the key of the other. */
    if (credentials.values[AWS_PROFILE_ACCESS_KEY].size > 0) {
        config.values[AWS_PROFILE_SECRET_KEY] = bytes_of(NULL, 0);
        config.values[AWS_PROFILE_SESSION_TOKEN] = bytes_of(NULL, 0);
    }
    for (unsigned i = 0; i < AWS_PROFILE_KEY_COUNT; i++)
        if (credentials.values[i].size > 0) config.values[i] = credentials.values[i];
    *ret_profile = config;
    return true;
}

struct bytes
aws_profile_name(const struct aws_setup *setup, bool *ret_named)
{
    const char *name = setup->settings->profile;
    if (name == NULL) name = aws_variable(setup, "AWS_PROFILE");
    *ret_named = name != NULL;
    return bytes_of_text(name == NULL ? "default" : name);
}
