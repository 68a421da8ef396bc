/*
 * signing_keys_fuzz.c - reads any bytes as a file of secrets, and as one of a session token. What
 * is accepted has one or two lines of visible ASCII, and is read alike once more.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "auth/users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_line(struct bytes line, size_t bytes_max)
{
    assert(line.size > 0 && line.size <= bytes_max);
    for (size_t i = 0; i < line.size; i++)
        assert(line.at[i] > ' ' && line.at[i] < 0x7f);
}

static void
read_file(const char *secrets, const char *token)
{
    struct access_key_settings key = {
        .id = "A", .secret_file = secrets, .session_token_file = token};
    struct user_settings user = {.access_keys = &key, .access_key_count = 1};
    const struct user_list list = {.items = &user, .count = 1};
    struct signing_keys *keys = NULL, *again = NULL;
    enum err e = signing_keys_read(&list, NULL, &keys, NULL);
    assert(e == OK || e == ERR_INPUT || e == ERR_LIMIT);
    if (e) return;
    const struct signing_key *found = signing_keys_find(keys, bytes_of_text("A"));
    assert(found != NULL && (found->secret_count == 1 || found->secret_count == 2));
    for (uint32_t i = 0; i < found->secret_count; i++)
        check_line(found->secrets[i], SIGNING_SECRET_BYTES_MAX);
    if (token != NULL) check_line(found->session_token, SIGNING_TOKEN_BYTES_MAX);
    e = signing_keys_read(&list, NULL, &again, NULL);
    assert(e == OK && signing_keys_equal(keys, again));
    signing_keys_free(keys);
    signing_keys_free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64], good_path[64];
    int fd = memfd_create("secrets", 0), good = memfd_create("good", 0);
    assert(fd >= 0 && good >= 0);
    assert(write(fd, data, size) == (ssize_t)size);
    assert(write(good, "secret\n", 7) == 7);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    snprintf(good_path, sizeof good_path, "/proc/self/fd/%d", good);
    read_file(path, NULL);
    read_file(good_path, path);
    close(fd);
    close(good);
    return 0;
}
