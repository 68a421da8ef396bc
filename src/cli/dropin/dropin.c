/* dropin.c - see dropin.h. */
#include "cli/dropin/dropin.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text/hex.h"
#include "base/text/time_text.h"

#include "cli/commands.h"
#include "wire/yaml/yaml_reader.h"

enum { PATH_BYTES = 40, DURATION_BYTES = 32 };

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

/* Appends a key and percent-encoded text on a line. */
static void
put_decoded(struct buf *config, const char *key, struct bytes text)
{
    struct buf decoded;
    buf_init_secret(&decoded, NULL, text.size + 1);
    for (size_t i = 0; i < text.size;) {
        uint8_t byte;
        size_t step = percent_step(text.at + i, text.size - i, &byte);
        buf_put_u8(&decoded, byte);
        i += step == 0 ? 1 : step;
    }
    buf_put_u8(&decoded, '\0');
    dropin_put(config, "    ", key, buf_error(&decoded) ? NULL : (const char *)decoded.at);
    buf_fini(&decoded);
}

void
dropin_put_server(struct buf *config, const char *url, const char *user, const char *password)
{
    const char *scheme_end = strstr(url, "://");
    const char *host = scheme_end == NULL ? url : scheme_end + 3;
    const char *at = memrchr(host, '@', strcspn(host, "/?#"));
    struct buf rest;
    buf_init(&rest, NULL, strlen(url) + 1);
    buf_put_bytes(&rest, bytes_of(url, (size_t)(host - url)));
    buf_put_text(&rest, at == NULL ? host : at + 1);
    buf_put_u8(&rest, '\0');
    dropin_put(config, "  ", "url", buf_error(&rest) ? NULL : (const char *)rest.at);
    buf_fini(&rest);
    if (user != NULL && user[0] != '\0') {
        buf_put_text(config, "  basic_auth:\n");
        dropin_put(config, "    ", "username", user);
        dropin_put(config, "    ", "password", password);
    } else if (at != NULL) {
        const char *colon = memchr(host, ':', (size_t)(at - host));
        const char *user_end = colon == NULL ? at : colon;
        buf_put_text(config, "  basic_auth:\n");
        put_decoded(config, "username", bytes_of(host, (size_t)(user_end - host)));
        if (colon != NULL)
            put_decoded(config, "password", bytes_of(colon + 1, (size_t)(at - colon - 1)));
    }
}

static bool
is_one_of(const char *word, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(word, *words) == 0) return true;
    }
    return false;
}

/* Says whether a word is a flag of that name; *ret_is_on, whether it turns it on. */
static bool
is_switch(const char *word, const char *name, bool *ret_is_on)
{
    static const char *const yes[] = {"", "=true", "=True", "=TRUE", "=t", "=T", "=1", NULL};
    static const char *const no[] = {"=false", "=False", "=FALSE", "=f", "=F", "=0", NULL};
    size_t size = strlen(name);
    bool is_no = strncmp(word, "--no-", 5) == 0 && strcmp(word + 5, name) == 0;
    bool is_it = strncmp(word, "--", 2) == 0 && strncmp(word + 2, name, size) == 0;
    const char *value = is_it ? word + 2 + size : "";
    *ret_is_on = is_it && is_one_of(value, yes);
    return is_no || *ret_is_on || (is_it && is_one_of(value, no));
}

/* Returns room for a text that lives as long as the process; NULL: not enough memory. */
static char *
new_text(size_t size)
{
    static struct text {
        struct text *next;
        char at[];
    } * all;
    struct text *text = malloc(sizeof *text + size);
    if (text == NULL) return NULL;
    text->next = all;
    all = text;
    return text->at;
}

int
dropin_words(int argc, char **argv, const char *const *switches)
{
    int kept = 1;
    for (int i = 1; i < argc; i++) {
        char *word = argv[i];
        size_t size = strlen(word) + 2;
        bool is_on = true, is_short = word[0] == '-' && word[1] != '-' && size > 4;
        char *longer = is_short ? new_text(size) : NULL;
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

enum err
dropin_duration(const char *flag, const char **value, struct why *why)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"ns", 1e-6}, {"us", 1e-3}, {"ms", 1}, {"s", 1e3}, {"m", 6e4}, {"h", 36e5}};
    enum { UNITS = sizeof units / sizeof *units };
    int64_t already;
    double sum = 0;
    if (*value == NULL || time_parse_duration(bytes_of_text(*value), &already)) return OK;
    for (const char *p = *value; p == *value || *p != '\0';) {
        char *end = NULL;
        size_t unit = UNITS, digits = strspn(p, "0123456789."),
               size = strcspn(p + digits, "0123456789.");
        double number = digits == 0 ? 0 : strtod(p, &end);
        for (size_t i = 0; end == p + digits && i < UNITS; i++) {
            if (strlen(units[i].name) == size && strncmp(end, units[i].name, size) == 0) unit = i;
        }
        if (unit == UNITS || !(sum < 1e15))
            return why_set(why, ERR_INPUT, "--%s: expected a duration such as 30s, got '%.64s'",
                           flag, *value);
        sum += number * units[unit].ms;
        p += digits + size;
    }
    char *text = new_text(DURATION_BYTES);
    if (text == NULL) return ERR_NOMEM;
    snprintf(text, DURATION_BYTES, "%.0fms", sum < 1 ? 1 : sum);
    *value = text;
    return OK;
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
print(const char *command, struct bytes config, const char *path, const char *note)
{
    fprintf(stderr, "# firekeep %s: %s\n# It runs as `firekeep serve --config.file=%s` with:\n",
            command, note, path);
    for (const uint8_t *p = config.at, *end = p + config.size; p < end;) {
        const uint8_t *line_end = memchr(p, '\n', (size_t)(end - p));
        const char *line = (const char *)p;
        int size = (int)(line_end - p);
        int key = (int)strspn(line, " -"), colon = (int)strcspn(line, ":");
        if (strncmp(line + key, "password:", 9) == 0 || strncmp(line + key, "token:", 6) == 0)
            fprintf(stderr, "#   %.*s: <secret>\n", colon, line);
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
    snprintf(ret_path, PATH_BYTES, "/proc/self/fd/%d", file);
    if (file < 0 || access(ret_path, R_OK) != 0) return false;
    return write(file, config.at, config.size) == (ssize_t)config.size;
}

/* Says whether the directory can be written, or made. */
static bool
is_usable(const char *dir, const char *parent)
{
    struct stat s;
    if (stat(dir, &s) != 0) return access(parent, W_OK | X_OK) == 0;
    return S_ISDIR(s.st_mode) && access(dir, W_OK | X_OK) == 0;
}

/* Makes a directory for temporary files that only this user can write, or finds it from an earlier
 * start. */
static bool
make_private_dir(const char *command, char ret_dir[static DROPIN_DIR_BYTES])
{
    struct stat s;
    snprintf(ret_dir, DROPIN_DIR_BYTES, "%.*s/firekeep-%s-%u", PATH_MAX,
             dropin_environment("TMPDIR", "/tmp"), command, (unsigned)geteuid());
    if (mkdir(ret_dir, 0700) == 0) return true;
    return lstat(ret_dir, &s) == 0 && S_ISDIR(s.st_mode) && s.st_uid == geteuid() &&
           (s.st_mode & 077) == 0;
}

bool
dropin_find_storage(const char *command, const char *given, char ret_dir[static DROPIN_DIR_BYTES])
{
    char here[PATH_MAX], own[DROPIN_DIR_BYTES];
    const char *state = given != NULL ? given : dropin_environment("STATE_DIRECTORY", NULL);
    if (state != NULL) { /* systemd separates several directories by colons */
        size_t size = given != NULL ? strlen(state) : strcspn(state, ":");
        snprintf(ret_dir, DROPIN_DIR_BYTES, "%.*s", (int)size, state);
        return true;
    }
    if (getcwd(here, sizeof here) == NULL) snprintf(here, sizeof here, ".");
    snprintf(ret_dir, DROPIN_DIR_BYTES, "%s/firekeep", strcmp(here, "/") == 0 ? "" : here);
    if (is_usable(ret_dir, here) || !make_private_dir(command, own)) {
        fprintf(stderr,
                "# firekeep %s: samples wait in %s; --storage.path or StateDirectory= of a unit "
                "names another directory\n",
                command, ret_dir);
        return true;
    }
    fprintf(
        stderr,
        "# firekeep %s: %s cannot be written, so samples do not wait on disk: a write is answered "
        "when the store has it; --storage.path or StateDirectory= of a unit names a directory\n",
        command, ret_dir);
    snprintf(ret_dir, DROPIN_DIR_BYTES, "%s", own);
    return false;
}

static void
put_settings(const char *command, const struct dropin_flags *f, struct buf *config)
{
    char storage[DROPIN_DIR_BYTES];
    bool has_log = dropin_find_storage(command, f->storage, storage);
    buf_put_text(config, "storage:\n  mode: none\n");
    dropin_put(config, "  ", "path", storage);
    if (!has_log) buf_put_text(config, "wal:\n  ack: destination\n");
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
    bool is_kept = keep(buf_bytes(config), path);
    print(command, buf_bytes(config), path, note);
    if (!is_kept) {
        return cli_failed(command,
                          why_set(&why, ERR_IO,
                                  "cannot keep this configuration, for which /proc is needed; "
                                  "write it to a file for `firekeep serve`"),
                          &why);
    }
    buf_fini(config);
    snprintf(flag, sizeof flag, "--config.file=%s", path);
    char name[] = "serve";
    char *words[] = {name, flag, NULL};
    return command_serve.run(2, words);
}
