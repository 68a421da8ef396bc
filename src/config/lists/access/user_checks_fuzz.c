/*
 * user_checks_fuzz.c - reads any text as a configuration file with users. Users that are accepted
 * become a set, unless a selector is not one, in which each is found by its own name, tokens and
 * certificate, and by none of another's; tenants are those of the settings.
 */
#include <assert.h>
#include <string.h>

#include "auth/password.h"
#include "auth/users.h"
#include "config/lists/lists.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_user(const struct users *users, const struct user_settings *s)
{
    const struct user *user = users_by_name(users, bytes_of_text(s->name));
    assert(user != NULL && strcmp(user->name, s->name) == 0);
    assert(user->permissions == s->permissions && user->permissions != 0);
    assert((user->permissions & ~(unsigned)PERMISSIONS_ALL) == 0);
    assert(user->read_set_count == s->read_matchers.count);
    if (s->client_certificate != NULL) {
        assert(users_by_certificate(users, s->client_certificate, NULL, 0) == user);
        const char *names[] = {"", s->client_certificate};
        assert(users_by_certificate(users, "", names, 2) == user);
    }
    for (uint32_t i = 0; i < s->tokens.count; i++) {
        assert(strlen(s->tokens.items[i]) == 64);
        /* The digest is not the token. */
        assert(users_by_token(users, bytes_of_text(s->tokens.items[i])) == NULL);
    }
    for (uint32_t i = 0; i < s->tenants.count; i++)
        assert(user_may_use(user, bytes_of_text(s->tenants.items[i])));
    assert((user_only_tenant(user) != NULL) ==
           (s->tenants.count == 1 && strchr(s->tenants.items[0], '*') == NULL));
}

static void
check_users(const struct user_list *list)
{
    struct users *users = NULL;
    struct why why = {""};
    struct budget budget;
    budget_init(&budget, "fuzz", 0, NULL);
    enum err e = users_new(list, NULL, &budget, &users, &why);
    assert(e == OK || why.text[0] != '\0');
    if (e == OK) {
        assert(users_count(users) == list->count);
        for (uint32_t i = 0; i < list->count; i++)
            check_user(users, &list->items[i]);
        assert(users_by_name(users, bytes_of("a\0b", 3)) == NULL);
        if (users_dearest_password(users) != NULL) {
            struct password_hash hash;
            e = password_hash_parse(users_dearest_password(users), &hash, NULL);
            assert(e == OK);
        }
        users_release(users);
    }
    assert(budget_used(&budget) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings settings;
    struct access_settings access = {.arenas = {NULL}}; /* an error leaves it as it is */
    struct why why = {""};
    settings_default(&settings);
    settings.tenancy_enabled = true;
    enum err e = access_settings_yaml("fuzz.yml", bytes_of(data, size), &settings, &access, &why);
    if (e == OK) e = access_settings_merge(&access, &settings, NULL, bytes_of_text(""), &why);
    if (e)
        assert(why.text[0] != '\0');
    else
        check_users(&access.users);
    access_settings_free(&access);
    return 0;
}
