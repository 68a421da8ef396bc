/* migrate.c - `firekeep migrate FILE`: prints a configuration of Firekeep for what one of
 * Prometheus does besides scraping. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/migrate/migrated.h"
#include "config/config.h"

#define MEMORY_BYTES_MAX ((uint64_t)256 << 20)

enum { FILE_BYTES_MAX = 16 * 1024 * 1024 };

struct migrate_flags {
    const char *retention_time;
    const char *retention_size;
    const char *old_retention;
};

static const struct flag flags[] = {
    {"storage.tsdb.retention.time", 0, FLAG_TEXT, offsetof(struct migrate_flags, retention_time),
     "TIME", "the flag that Prometheus is started with"},
    {"storage.tsdb.retention.size", 0, FLAG_TEXT, offsetof(struct migrate_flags, retention_size),
     "SIZE", "the flag that Prometheus is started with"},
    {"storage.tsdb.retention", 0, FLAG_TEXT, offsetof(struct migrate_flags, old_retention), "TIME",
     "the same as --storage.tsdb.retention.time, in old versions of Prometheus"},
    {0},
};

static const char notes[] =
    "\nFILE is the configuration of a Prometheus. Prints a configuration with which Firekeep does\n"
    "what the remote_write, remote_read, rule_files, alerting, external_labels and retention of\n"
    "this Prometheus do, and in comments what is not in it, with the reason: scraping stays with\n"
    "Prometheus, which then writes to Firekeep. Relative paths become absolute. Secrets in FILE\n"
    "are printed. The FILE - is standard input.\n"
    "\nExit status: 0 printed, 1 FILE cannot be read or is not a configuration, 2 wrong usage.\n";

static const char advice[] =
    "# Prometheus goes on scraping, with its external_labels, and needs only this of the rest:\n"
    "#\n"
    "# remote_write:\n"
    "# - url: http://127.0.0.1:9201/api/v1/write\n"
    "#   send_exemplars: true\n"
    "#   send_native_histograms: true\n"
    "# remote_read:\n"
    "# - url: http://127.0.0.1:9201/api/v1/read\n"
    "#   read_recent: true\n"
    "#\n"
    "# Take rule_files, alerting and other remote_write out of it when Firekeep runs: else rules "
    "are\n"
    "# evaluated twice, and samples sent twice.\n";

static void
print(const char *path, struct bytes text, struct bytes left_out)
{
    printf("# Configuration of Firekeep, made from %s.\n", path);
    fputs(advice, stdout);
    if (left_out.size > 0) printf("#\n# Not carried over:\n");
    for (const uint8_t *p = left_out.at, *end = p + left_out.size; p < end;) {
        const uint8_t *line_end = memchr(p, '\n', (size_t)(end - p));
        printf("#   %.*s\n", (int)(line_end - p), (const char *)p);
        p = line_end + 1;
    }
    printf("\n%.*s", (int)text.size, (const char *)text.at);
}

static enum err
migrate(struct migrate_options *options, struct why *why)
{
    struct budget memory;
    struct buf file, text, left_out;
    budget_init(&memory, "migrate", MEMORY_BYTES_MAX, NULL);
    buf_init_secret(&text, &memory, 4 * CONFIG_BYTES_MAX);
    buf_init(&left_out, &memory, 4 * CONFIG_BYTES_MAX);
    enum err e = config_read(options->file_name, FILE_BYTES_MAX, &file, why);
    if (e == OK && file.size > FILE_BYTES_MAX)
        e = why_set(why, ERR_LIMIT, "%s has more than 16 MiB", options->file_name);
    options->text = buf_bytes(&file);
    options->memory = &memory;
    if (e == OK) e = migrate_config(options, &text, &left_out, why);
    if (e == OK) print(options->file_name, buf_bytes(&text), buf_bytes(&left_out));
    buf_fini(&file);
    buf_fini(&text);
    buf_fini(&left_out);
    return e;
}

static int
run_migrate(int argc, char **argv)
{
    struct migrate_flags f = {NULL};
    struct why why = {""};
    int count = 0;
    enum err e = flags_parse(flags, &f, argc - 1, argv + 1, &count, &why);
    if (e == OK && count != 1) e = why_set(&why, ERR_INPUT, "expected one FILE");
    struct migrate_options options = {
        .file_name = count == 1 && strcmp(argv[1], "-") == 0 ? "/dev/stdin" : argv[1],
        .retention_time = f.retention_time != NULL ? f.retention_time : f.old_retention,
        .retention_size = f.retention_size};
    if (e == OK) e = migrate_check_flags(&options, &why);
    if (e) return cli_usage_error("migrate", "%s", why.text);
    e = migrate(&options, &why);
    return e ? cli_failed("migrate", e, &why) : EXIT_DONE;
}

const struct command command_migrate = {
    "migrate",   "[flags] FILE", "print a configuration of Firekeep for one of Prometheus",
    run_migrate, flags,          notes};
