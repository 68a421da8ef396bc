/* aws_rig.c - see aws_rig.h. */
#include "lib/backend/aws_rig.h"

static const char *
aws_rig_variable(void *context, const char *name)
{
    const struct aws_rig *rig = context;
    for (unsigned i = 0; i < rig->variable_count; i++)
        if (strcmp(rig->variables[i].name, name) == 0) return rig->variables[i].value;
    return NULL;
}

void
aws_rig_init(struct aws_rig *rig)
{
    memset(rig, 0, sizeof *rig);
    assert_int_equal(sim_env_new(1, &rig->sim), OK);
    rig->table = (struct aws_variables){aws_rig_variable, rig};
    rig->setup = (struct aws_setup){sim_env_env(rig->sim), NULL, &rig->settings, &rig->table};
}

void
aws_rig_fini(struct aws_rig *rig)
{
    sim_env_free(rig->sim);
}

void
aws_rig_set(struct aws_rig *rig, const char *name, const char *value)
{
    unsigned i = 0;
    while (i < rig->variable_count && strcmp(rig->variables[i].name, name) != 0)
        i++;
    assert_true(i < RIG_VARIABLES_MAX);
    if (i == rig->variable_count) rig->variable_count++;
    rig->variables[i].name = name;
    rig->variables[i].value = value;
}

void
aws_rig_put_bytes(struct aws_rig *rig, const char *path, struct bytes content)
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

void
aws_rig_put(struct aws_rig *rig, const char *path, const char *text)
{
    aws_rig_put_bytes(rig, path, bytes_of_text(text));
}

struct http_call_answer
silence_of(enum http_call_failure failure, const char *error)
{
    struct http_call_answer answer = {.failure = failure};
    snprintf(answer.error, sizeof answer.error, "%s", error);
    return answer;
}

void
expect_no_secret(const char *text)
{
    if (strstr(text, "SECRET") != NULL) fail_msg("'%s' tells a secret", text);
}
