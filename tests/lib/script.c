/* script.c - see script.h. */
#include "lib/script.h"

struct script script;

static char *texts[8192]; /* arguments of commands */
static unsigned text_count;

bool
script_is(const char *name, const char *want)
{
    bool is_it = strcmp(name, want) == 0;
    script.is_known |= is_it;
    return is_it;
}

char *
script_word(char **rest)
{
    char *at = *rest + strspn(*rest, " ");
    *rest = at + strcspn(at, " ");
    if (**rest != '\0') *(*rest)++ = '\0';
    return at;
}

void
script_print(const char *text)
{
    size_t size = strlen(script.printed);
    assert_true(size + strlen(text) + 3 < sizeof script.printed);
    char *at = stpcpy(script.printed + size, size == 0 ? "" : "; ");
    strcpy(at, text);
    for (; *at != '\0'; at++) {
        if (*at == '\n') *at = '~';
        if (*at == '"') *at = '\'';
    }
}

void
script_print_number(uint64_t number)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    script_print(text);
}

void
script_print_metrics(const char *common, const char *prefix)
{
    struct buf all;
    size_t size = strlen(common);
    buf_init(&all, NULL, 16 << 20);
    metric_collect(&all);
    buf_put_u8(&all, 0);
    assert_int_equal(buf_error(&all), OK);
    for (char *line = strtok((char *)all.at, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strncmp(line, common, size) != 0) continue;
        if (strncmp(line + size, prefix, strlen(prefix)) == 0) script_print(line + size);
    }
    buf_fini(&all);
}

void
script_forget(void)
{
    while (text_count > 0)
        free(texts[--text_count]);
}

void
script_do(const char *line)
{
    const char *arrow = strstr(line, " => ");
    char *at = strndup(line, arrow == NULL ? strlen(line) : (size_t)(arrow - line)), *end;
    assert_true(text_count < sizeof texts / sizeof *texts);
    texts[text_count++] = at;
    script.printed[0] = '\0';
    for (; at != NULL; at = end == NULL ? NULL : end + 3) {
        end = strstr(at, " | ");
        if (end != NULL) *end = '\0';
        char *rest = at, *name = script_word(&rest);
        script.is_known = false;
        script_command(name, rest);
        if (!script.is_known) fail_msg("unknown command %s", name);
    }
}

void
script_play(const char *line)
{
    const char *arrow = strstr(line, " => "), *want = arrow == NULL ? "" : arrow + 4;
    script_do(line);
    if (strcmp(script.printed, want) == 0) return;
    fail_msg("%s\nprinted something else => %s", line, script.printed);
}

void
script_playf(const char *format, ...)
{
    char line[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    script_play(line);
}

void
script_run(void **state)
{
    for (const char *at = *state; *at != '\0';) {
        size_t size = strcspn(at, "\n");
        char *line = strndup(at, size);
        script_play(line);
        free(line);
        at += size + (at[size] == '\n');
    }
}
