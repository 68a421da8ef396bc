/*
 * config_fuzz.c - any text as a configuration file: refused with a reason and without a trace, or
 * accepted, and then what is printed reads back as the same.
 */
#include <assert.h>

#include "app/config_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_same(const struct settings *a, const struct settings *b)
{
    for (const struct setting *s = settings_table(); s->name != NULL; s++) {
        if (s->type == SETTING_TEXT) {
            assert(strcmp(setting_text(s, a), setting_text(s, b)) == 0);
        } else {
            assert(setting_number(s, a) == setting_number(s, b));
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings before, settings, again;
    settings_default(&before);
    settings = again = before;
    struct why why = {""};
    enum err e = settings_yaml(&settings, "fuzz.yml", bytes_of(data, size), &why);
    if (e) {
        assert(why.text[0] != 0);
        assert(memcmp(&settings, &before, sizeof before) == 0);
        return 0;
    }
    struct buf text;
    buf_init(&text, NULL, 1 << 16);
    settings_print_yaml(&settings, &text);
    assert(buf_error(&text) == OK);
    e = settings_yaml(&again, "printed.yml", buf_bytes(&text), &why);
    assert(e == OK);
    check_same(&settings, &again);
    buf_fini(&text);
    return 0;
}
