/* migrated_fuzz.c - any text as a configuration of Prometheus: it is refused with a reason, or
 * becomes a configuration that Firekeep reads. */
#include <assert.h>

#include "cli/migrate/migrated.h"
#include "config/lists/lists.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct why why = {""};
    struct buf text, left_out;
    struct settings settings;
    struct config_lists lists = {.destinations = {NULL}};
    if (size > 1 << 16) return 0;
    buf_init(&text, NULL, 4 << 20);
    buf_init(&left_out, NULL, 4 << 20);
    struct migrate_options options = {.file_name = "/p/prometheus.yml",
                                      .text = bytes_of(data, size)};
    enum err e = migrate_config(&options, &text, &left_out, &why);
    if (e) {
        assert(why_text(&why, e)[0] != '\0');
    } else {
        settings_default(&settings);
        e = settings_yaml(&settings, "new", buf_bytes(&text), &why);
        if (e == OK) e = config_lists_yaml("new", buf_bytes(&text), &settings, &lists, &why);
        assert(e == OK);
        config_lists_free(&lists);
    }
    buf_fini(&text);
    buf_fini(&left_out);
    return 0;
}
