/*
 * session_fuzz.c - reads any text as a header Cookie: no session that it claims is good. A session
 * of any subject is found again and good, and is not when one of its characters is another.
 */
#include "auth/gate_private.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char name[] = "firekeep-01234567";
static struct sessions *sessions;

static bool
is_good(const char *cookies, struct bytes subject)
{
    struct session session;
    struct buf room;
    bool good = false;
    buf_init(&room, NULL, SESSION_VALUE_BYTES_MAX);
    if (session_find(cookies, name, &room, &session)) {
        assert(session.subject.size > 0 && session.subject.size < SESSION_VALUE_BYTES_MAX);
        good = session_is_good(sessions, &session, bytes_of_text("secret"));
        assert(!good || bytes_equal(session.subject, subject));
    }
    buf_fini(&room);
    return good;
}

static void
check_made(struct bytes subject, uint8_t index)
{
    struct buf cookies;
    buf_init(&cookies, NULL, 2 * SESSION_VALUE_BYTES_MAX);
    buf_put_text(&cookies, "other=1; firekeep-01234567=");
    size_t begin = cookies.size;
    enum err e = session_begin(sessions, SESSION_OF_USER, subject, subject, bytes_of_text("secret"),
                               &cookies);
    assert(e == OK);
    size_t size = cookies.size - begin;
    buf_put_u8(&cookies, '\0');
    assert(buf_error(&cookies) == OK && size <= SESSION_VALUE_BYTES_MAX);
    assert(is_good((const char *)cookies.at, subject));
    uint8_t *changed = &cookies.at[begin + index % size];
    *changed = *changed == 'A' ? 'B' : 'A';
    assert(!is_good((const char *)cookies.at, subject));
    buf_fini(&cookies);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    assert(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    enum err e = sessions == NULL ? sessions_new(env_real(), NULL, &sessions) : OK;
    assert(e == OK);
    bool good = is_good(text, bytes_of(NULL, 0));
    assert(!good);
    if (size > 0 && size < SESSION_VALUE_BYTES_MAX / 2) check_made(bytes_of(data, size), data[0]);
    free(text);
    return 0;
}
