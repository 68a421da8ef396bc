/* access_rig.c - see access_rig.h. */
#include "lib/config/access_rig.h"

#include "lib/test.h"

static enum err
read_both(const char *file_name, const char *config, const char *web_name, const char *web,
          struct access_settings *ret_access, struct why *why)
{
    struct settings s;
    struct access_settings access = {.file_name = ""};
    settings_default(&s);
    enum err e = settings_yaml(&s, file_name, bytes_of_text(config), why);
    if (e == OK) e = access_settings_yaml(file_name, bytes_of_text(config), &s, &access, why);
    if (e == OK) {
        struct bytes text = web == NULL ? bytes_of("", 0) : bytes_of_text(web);
        e = access_settings_merge(&access, &s, web_name, text, why);
    }
    if (e) {
        assert_int_equal(access.listeners.count, 0);
        access_settings_free(&access);
    } else {
        *ret_access = access;
    }
    return e;
}

struct access_settings
read_access_from(const char *file_name, const char *config, const char *web_name, const char *web)
{
    struct access_settings access = {.file_name = ""};
    struct why why = {""};
    enum err e = read_both(file_name, config, web_name, web, &access, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    return access;
}

struct access_settings
read_access(const char *config, const char *web_name, const char *web)
{
    return read_access_from("f.yml", config, web_name, web);
}

static void
check_failure(const char *config, const char *web, const char *expected)
{
    struct access_settings access;
    struct why why = {""};
    const char *web_name = web == NULL ? NULL : "w.yml";
    enum err e = read_both("f.yml", config, web_name, web, &access, &why);
    if (e == OK) fail_msg("not refused: %s%s", config, web == NULL ? "" : web);
    if (expected != NULL) assert_string_equal(why.text, expected);
    assert_int_equal(e, ERR_INPUT);
    assert_int_equal(read_both("f.yml", config, web_name, web, &access, NULL), ERR_INPUT);
}

void
check_access_error(const char *config, const char *expected)
{
    check_failure(config, NULL, expected);
}

void
check_web_error(const char *web, const char *expected)
{
    check_failure("", web, expected);
}

void
check_both_error(const char *config, const char *web, const char *expected)
{
    check_failure(config, web, expected);
}

void
check_access_refused(const char *config)
{
    check_failure(config, NULL, NULL);
}

void
check_web_refused(const char *web)
{
    check_failure("", web, NULL);
}

static void
check_text(struct buf *found, const char *expected)
{
    buf_put_u8(found, '\0');
    assert_int_equal(buf_error(found), OK);
    assert_string_equal((const char *)found->at, expected);
    buf_fini(found);
}

void
check_warnings(const struct access_settings *access, const char *expected)
{
    struct buf found;
    buf_init(&found, NULL, 1 << 16);
    access_settings_warn(access, &found);
    check_text(&found, expected);
}

void
check_printed(const struct access_settings *access, const char *expected)
{
    struct buf found;
    buf_init(&found, NULL, 1 << 16);
    access_settings_print_yaml(access, &found);
    check_text(&found, expected);
}
