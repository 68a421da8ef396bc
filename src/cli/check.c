/* check.c - `firekeep check FILE`: all that `serve` would find wrong with it before it starts. */
#include "cli/check.h"

#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "config/destinations.h"

enum err
check_file(const char *path, struct settings *ret_settings, struct destinations *ret_list,
           struct why *why)
{
    struct destinations list = {NULL};
    struct buf text;
    settings_default(ret_settings);
    enum err e = config_read(path, &text, why);
    if (e == OK) e = settings_yaml(ret_settings, path, buf_bytes(&text), why);
    if (e == OK) e = destinations_yaml(path, buf_bytes(&text), ret_settings, &list, why);
    buf_fini(&text);
    if (e) return e;
    e = settings_validate(ret_settings, list.count, why);
    if (e == OK) e = destinations_check(&list, ret_settings->storage_path, why);
    if (e) {
        destinations_free(&list);
        return why_prefix(why, e, "%s", path);
    }
    *ret_list = list;
    return OK;
}

static const struct flag flags[] = {
    {"against", 0, FLAG_TEXT, 0, "DIR|URL",
     "storage directory or URL of a server, to compare its destinations with the file"},
    {0},
};

static const char notes[] =
    "\nChecks the whole file. With --against, also compares its destinations with those of a\n"
    "server and prints:\n"
    "  - destinations that the file does not name: queued samples, bytes of log, dead letters,\n"
    "    and what happens to them\n"
    "  - destinations that would write elsewhere, or select or relabel differently while samples\n"
    "    are queued (for DIR, this counts only samples that were counted ahead)\n"
    "  - new destinations and where they start\n"
    "  - how to rename a destination without loss, where an old and a new one write to the same\n"
    "    target\n"
    "\n  DIR  storage directory of a running or stopped server; it is only read. The number of\n"
    "       queued samples is an upper limit, because only the settings of a removed destination\n"
    "       say which samples it was to receive. storage.mode is taken from FILE.\n"
    "  URL  running server; numbers are exact.\n"
    "\nExit status: 0 the file is valid and nothing is left behind; 1 the file is invalid, or the\n"
    "directory or server cannot be read; 2 wrong usage; 3 the file is valid, but a removed\n"
    "destination has a backlog or dead letters, or they cannot be counted, or a remaining\n"
    "destination would not deliver everything that is queued.\n";

static int
run_check(int argc, char **argv)
{
    struct settings settings;
    struct destinations list = {NULL};
    struct why why = {""};
    const char *against = NULL;
    bool backlog = false;
    int count = 0;
    enum err e = flags_parse(flags, &against, argc - 1, argv + 1, &count, &why);
    if (e) return cli_usage_error("check", "%s", why.text);
    if (count < 1) return cli_usage_error("check", "missing FILE");
    if (count > 1) return cli_usage_error("check", "unexpected argument '%.64s'", argv[2]);
    e = check_file(argv[1], &settings, &list, &why);
    if (e) {
        fprintf(stderr, "%s\n", why.text);
        return EXIT_FAILED;
    }
    if (list.count == 0) {
        printf("%s: ok\n", argv[1]);
    } else {
        printf("%s: ok, %u destination%s\n", argv[1], list.count, list.count == 1 ? "" : "s");
    }
    if (against != NULL) e = check_against(&settings, &list, against, &backlog, &why);
    destinations_free(&list);
    if (e == OK) return backlog ? EXIT_BACKLOG : EXIT_DONE;
    fflush(stdout);
    fprintf(stderr, "firekeep check: --against: %s\n", why_text(&why, e));
    return EXIT_FAILED;
}

const struct command command_check = {
    "check",
    "[flags] FILE",
    "check a configuration file, and what it would change about a server's destinations",
    run_check,
    flags,
    notes};
