/* dropin.c - see dropin.h. */
#include "cli/dropin/dropin.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/commands.h"
#include "wire/yaml/yaml_values.h"

enum { PATH_BYTES = 40, SETTING_BYTES = 1200 };

static const char no_effect[] = "has no effect: ";

void
dropin_put(struct buf *config, const char *indent, const char *key, const char *text)
{
    if (text == NULL || text[0] == '\0') return;
    buf_printf(config, "%s%s: ", indent, key);
    yaml_put_quoted(config, text);
    buf_put_u8(config, '\n');
}

const char *
dropin_environment(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? otherwise : value;
}

/* Says whether a word is a flag of that name; *ret_is_on, whether it turns it on. */
static bool
is_switch(const char *word, const char *name, bool *ret_is_on)
{
    size_t size = strlen(name);
    bool is_no = strncmp(word, "--no-", 5) == 0 && strcmp(word + 5, name) == 0;
    bool is_it = strncmp(word, "--", 2) == 0 && strncmp(word + 2, name, size) == 0;
    const char *value = is_it ? word + 2 + size : "";
    *ret_is_on = is_it && (value[0] == '\0' || strcmp(value, "=true") == 0);
    return is_no || *ret_is_on || (is_it && strcmp(value, "=false") == 0);
}

int
dropin_words(int argc, char **argv, const char *const *switches)
{
    int kept = 1;
    for (int i = 1; i < argc; i++) {
        char *word = argv[i];
        size_t size = strlen(word) + 2;
        bool is_on = true, is_short = word[0] == '-' && word[1] != '-' && size > 4;
        char *longer = is_short ? malloc(size) : NULL; /* lives as long as the process */
        if (longer != NULL) snprintf(longer, size, "-%s", word);
        argv[kept] = longer != NULL ? longer : word;
        for (const char *const *s = switches; *s != NULL; s++) {
            bool on;
            if (!is_switch(argv[kept], *s, &on)) continue;
            is_on = on;
            if (on) argv[kept][2 + strlen(*s)] = '\0'; /* "=true" */
        }
        if (is_on) kept++;
    }
    return kept;
}

static bool
has_flag(int argc, char **argv, const char *name)
{
    size_t size = strlen(name);
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strncmp(word, "--", 2) != 0 || strncmp(word + 2, name, size) != 0) continue;
        if (word[2 + size] == '\0' || word[2 + size] == '=') return true;
    }
    return false;
}

void
dropin_print_ignored(const char *command, const struct flag *flags, int argc, char **argv)
{
    for (const struct flag *f = flags; f->name != NULL; f++) {
        if (strncmp(f->help, no_effect, sizeof no_effect - 1) != 0) continue;
        if (has_flag(argc, argv, f->name))
            fprintf(stderr, "# firekeep %s: --%s %s\n", command, f->name, f->help);
    }
}

/* Prints the configuration without the values of secrets. */
static void
print(const char *command, struct bytes config, const char *note)
{
    fprintf(stderr, "# firekeep %s: %s\n# It runs as `firekeep serve --config.file` with:\n",
            command, note);
    for (const uint8_t *p = config.at, *end = p + config.size; p < end;) {
        const uint8_t *line_end = memchr(p, '\n', (size_t)(end - p));
        const char *line = (const char *)p;
        int size = (int)(line_end - p);
        const uint8_t *secret = memmem(p, (size_t)size, "password: ", 10);
        if (secret != NULL)
            fprintf(stderr, "#   %.*spassword: <secret>\n", (int)(secret - p), line);
        else
            fprintf(stderr, "#   %.*s\n", size, line);
        p = line_end + 1;
    }
}

/* Puts the configuration into a file without a name, which a reload reads again. */
static bool
keep(struct bytes config, char ret_path[static PATH_BYTES])
{
    int file = memfd_create("firekeep.yml", 0);
    if (file < 0) return false;
    snprintf(ret_path, PATH_BYTES, "/proc/self/fd/%d", file);
    return write(file, config.at, config.size) == (ssize_t)config.size;
}

static void
put_settings(const char *command, const struct dropin_flags *f, struct buf *config)
{
    char dir[PATH_MAX], here[PATH_MAX + sizeof "/firekeep"];
    const char *storage =
        f->storage != NULL ? f->storage : dropin_environment("STATE_DIRECTORY", NULL);
    if (storage == NULL) {
        snprintf(here, sizeof here, "%s/firekeep", getcwd(dir, sizeof dir) == NULL ? "." : dir);
        storage = here;
        fprintf(stderr,
                "# firekeep %s: samples wait in %s; --storage.path or StateDirectory= of a unit "
                "names another directory\n",
                command, storage);
    }
    buf_put_text(config, "storage:\n  mode: none\n");
    dropin_put(config, "  ", "path", storage);
    buf_put_text(config, "web:\n");
    dropin_put(config, "  ", "listen_address", f->listen);
    if (f->telemetry_path != NULL && strcmp(f->telemetry_path, "/metrics") != 0)
        dropin_put(config, "  ", "telemetry_path", f->telemetry_path);
    if (f->log_level == NULL && f->log_format == NULL) return;
    buf_put_text(config, "log:\n");
    dropin_put(config, "  ", "level", f->log_level);
    dropin_put(config, "  ", "format", f->log_format);
}

int
dropin_serve(const char *command, const struct dropin_flags *f, struct buf *config,
             const char *note)
{
    char path[PATH_BYTES], flag[PATH_BYTES + 20];
    struct why why = {""};
    put_settings(command, f, config);
    if (buf_error(config)) return cli_failed(command, buf_error(config), &why);
    print(command, buf_bytes(config), note);
    if (!keep(buf_bytes(config), path)) {
        return cli_failed(command, why_set(&why, ERR_IO, "cannot keep the configuration"), &why);
    }
    buf_fini(config);
    snprintf(flag, sizeof flag, "--config.file=%s", path);
    char name[] = "serve";
    char *words[] = {name, flag, NULL};
    return command_serve.run(2, words);
}
