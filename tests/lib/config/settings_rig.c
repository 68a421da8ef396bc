/* settings_rig.c - see settings_rig.h. */
#include "lib/config/settings_rig.h"

struct settings
settings_defaults(void)
{
    struct settings s;
    settings_default(&s);
    return s;
}

const struct setting *
setting_named(const char *name)
{
    const struct setting *s = settings_find(bytes_of_text(name));
    assert_non_null(s);
    return s;
}

const char *
setting_shown(const struct settings *settings, const struct setting *setting)
{
    static char text[SETTING_TEXT_BYTES];
    struct buf buf;
    buf_init(&buf, NULL, sizeof text);
    settings_value(settings, setting, &buf);
    assert_int_equal(buf_error(&buf), OK);
    if (buf.size > 0) memcpy(text, buf.at, buf.size);
    text[buf.size] = 0;
    buf_fini(&buf);
    return text;
}

void
check_setting_number(const char *name, const char *text, uint64_t expected)
{
    const struct setting *setting = setting_named(name);
    struct settings s = settings_defaults();
    struct why why = {""};
    enum err e = setting_parse(setting, bytes_of_text(text), &s, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    assert_true(setting_number(setting, &s) == expected);
}

void
check_setting_refused(const char *name, const char *text)
{
    struct settings before = settings_defaults(), s = before;
    struct why why = {""};
    enum err e = setting_parse(setting_named(name), bytes_of_text(text), &s, &why);
    assert_int_equal(e, ERR_INPUT);
    assert_string_not_equal(why.text, "");
    assert_memory_equal(&s, &before, sizeof s);
}
