#include <stdio.h>

#include "app/cli.h"
#include "app/commands.h"
#include "app/config.h"

/* The file over the defaults; which flags it will meet is not known here. */
static enum err
check_file(const char *path, struct why *why)
{
    struct settings settings;
    settings_default(&settings);
    enum err e = settings_file(&settings, path, why);
    if (e) return e;
    e = settings_validate(&settings, why);
    return e ? why_prefix(why, e, "%s", path) : OK;
}

int
command_check(int argc, char **argv)
{
    if (argc < 2) return cli_usage_error("check", "which file?");
    if (argc > 2) return cli_usage_error("check", "unexpected word '%.64s'", argv[2]);
    struct why why = {""};
    enum err e = check_file(argv[1], &why);
    if (e) {
        fprintf(stderr, "%s\n", why.text);
        return EXIT_FAILED;
    }
    printf("%s: ok\n", argv[1]);
    return EXIT_DONE;
}
