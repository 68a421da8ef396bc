#include "cli/check.h"

#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "config/destinations.h"

enum err
check_file(const char *path, struct settings *ret_settings, struct destinations *ret_list,
           struct why *why)
{
    struct destinations list = {NULL};
    struct buf text;
    settings_default(ret_settings);
    enum err e = config_read(path, &text, why);
    if (e) goto out;
    e = settings_yaml(ret_settings, path, buf_bytes(&text), why);
    if (e) goto out;
    e = destinations_yaml(path, buf_bytes(&text), ret_settings, &list, why);
    if (e) goto out;
    e = settings_validate(ret_settings, list.count, why);
    if (e == OK) e = destinations_check(&list, ret_settings->storage_path, why);
    if (e) {
        why_prefix(why, e, "%s", path);
        goto out;
    }
    *ret_list = list;
    list = (struct destinations){NULL};
out:
    destinations_free(&list);
    buf_fini(&text);
    return e;
}

static void
flag_table(const char **against, struct flag to[2])
{
    const struct flag flags[] = {
        {"against", 0, FLAG_TEXT, against, "DIR|URL",
         "a server's storage directory, or its address: what would become of its destinations"},
        {0},
    };
    memcpy(to, flags, sizeof flags);
}

void
check_help(struct buf *to)
{
    struct flag flags[2];
    const char *against = NULL;
    flag_table(&against, flags);
    flags_help(flags, to);
    buf_put_text(
        to,
        "\nReads the whole file. With --against also tells, of each destination that a server has\n"
        "and the file does not name, how many samples are queued for it, how many bytes of log\n"
        "and dead letters it has, and what becomes of them; which destinations would write\n"
        "elsewhere, or select or relabel in another way while samples are queued (of a directory\n"
        "this is known only of what was counted ahead); and which are new, and where they begin. "
        "How a destination is renamed without\n"
        "loss is told where an old and a new one write to the same place.\n"
        "  DIR  the storage directory, whether the server runs or not; it is only read. How many\n"
        "       samples are queued is told at most: which of them a removed destination was to "
        "get\n"
        "       only its settings said. Whether there is a store, FILE says (storage.mode).\n"
        "  URL  a running server, which counts exactly.\n"
        "\nExit status: 0 the file is right, and nothing is left behind; 1 the file is wrong, or\n"
        "the directory or server cannot be read; 2 wrong usage; 3 the file is right, and a\n"
        "destination that goes has a backlog or dead letters, or one that cannot be counted, or\n"
        "one that stays would not deliver all that is queued.\n");
}

int
command_check(int argc, char **argv)
{
    struct settings settings;
    struct destinations list = {NULL};
    struct why why = {""};
    struct flag flags[2];
    const char *against = NULL;
    bool backlog = false;
    int count = 0;
    flag_table(&against, flags);
    enum err e = flags_parse(flags, argc - 1, argv + 1, &count, &why);
    if (e) return cli_usage_error("check", "%s", why.text);
    if (count < 1) return cli_usage_error("check", "which file?");
    if (count > 1) return cli_usage_error("check", "unexpected word '%.64s'", argv[2]);
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
    fprintf(stderr, "firekeep check: --against: %s\n",
            why.text[0] != '\0' ? why.text : err_word(e));
    return EXIT_FAILED;
}
