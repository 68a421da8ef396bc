#include "app/check.h"

#include <stdio.h>

#include "app/cli.h"
#include "app/commands.h"
#include "app/config_destinations.h"
#include "app/relays.h"

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
    if (e == OK) e = relays_check(&list, why);
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

int
command_check(int argc, char **argv)
{
    if (argc < 2) return cli_usage_error("check", "which file?");
    if (argc > 2) return cli_usage_error("check", "unexpected word '%.64s'", argv[2]);
    struct settings settings;
    struct destinations list;
    struct why why = {""};
    enum err e = check_file(argv[1], &settings, &list, &why);
    if (e) {
        fprintf(stderr, "%s\n", why.text);
        return EXIT_FAILED;
    }
    uint32_t count = list.count;
    destinations_free(&list);
    if (count == 0) {
        printf("%s: ok\n", argv[1]);
    } else {
        printf("%s: ok, %u destination%s\n", argv[1], count, count == 1 ? "" : "s");
    }
    return EXIT_DONE;
}
