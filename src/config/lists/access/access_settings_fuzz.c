/*
 * access_settings_fuzz.c - reads any text as a file for web.config.file, beside a configuration
 * file with users and a listener: it is refused with a reason and nothing is in force, or accepted,
 * the same way each time.
 */
#include <assert.h>
#include <string.h>

#include "config/lists/lists.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char config[] =
    "listeners: [{address: 'unix:a'}, {address: ':1', tls_server_config: {}}]\n"
    "users: [{name: alice, permissions: [read], client_certificate: CN=a}]\n";

static enum err
read_both(const struct settings *settings, struct bytes text, struct access_settings *access,
          struct why *why)
{
    enum err e = access_settings_yaml("f.yml", bytes_of_text(config), settings, access, why);
    assert(e == OK);
    return access_settings_merge(access, settings, "fuzz.yml", text, why);
}

/* Checks what users of these settings rely on. */
static void
check_force(const struct access_settings *access)
{
    assert(access->listeners.count == 3);
    assert(access->listeners.items[0].tls.given == access->tls.given);
    assert(access->listeners.items[1].tls.given == access->tls.given);
    assert(!access->listeners.items[2].tls.given);
    assert(!access->tls.given || ((access->tls.cert_file == NULL) != (access->tls.cert == NULL) &&
                                  (access->tls.key_file == NULL) != (access->tls.key == NULL)));
    assert(access->http.rate_interval_ns == 0 || access->http.rate_burst > 0);
    for (uint32_t i = 0; i < access->http.headers.count; i++)
        assert(access->http.headers.items[i].value[0] != '\0');
    assert(access->users.count >= 1);
    for (uint32_t i = 0; i < access->users.count; i++) {
        const struct user_settings *user = &access->users.items[i];
        assert(user->password != NULL || i == 0);
        assert((strcmp(user->name, "alice") == 0) == (i == 0));
        assert(user->permissions == (i == 0 ? PERMISSION_READ : PERMISSIONS_ALL));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings settings;
    struct access_settings access, again;
    struct why why = {""};
    struct buf warnings;
    settings_default(&settings);
    enum err e = read_both(&settings, bytes_of(data, size), &access, &why);
    if (e) {
        assert(why.text[0] != 0);
        assert(access.listeners.count == 0);
        access_settings_free(&access);
        return 0;
    }
    check_force(&access);
    e = read_both(&settings, bytes_of(data, size), &again, &why);
    assert(e == OK);
    assert(access_settings_equal(&access, &again));
    assert(access_settings_check_reload(&access, &again, NULL) == OK);
    buf_init(&warnings, NULL, 1 << 20);
    access_settings_warn(&access, &warnings);
    buf_fini(&warnings);
    access_settings_free(&access);
    access_settings_free(&again);
    return 0;
}
