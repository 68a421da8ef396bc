/* err.c - words of errors, and sentences about them. */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *
err_word(enum err e)
{
    static const char *const words[ERR_COUNT] = {
        [OK] = "ok",
        [ERR_INPUT] = "input",
        [ERR_LIMIT] = "limit",
        [ERR_AGAIN] = "again",
        [ERR_NOMEM] = "out_of_memory",
        [ERR_FULL] = "out_of_space",
        [ERR_MISSING] = "missing",
        [ERR_CORRUPT] = "corrupt",
        [ERR_IO] = "io",
        [ERR_UNSUPPORTED] = "unsupported",
        [ERR_CANCELED] = "canceled",
    };
    return (unsigned)e < ERR_COUNT ? words[e] : "unknown";
}

enum err
why_set(struct why *why, enum err e, const char *format, ...)
{
    if (why == NULL) return e;
    va_list args;
    va_start(args, format);
    vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    why->trouble = 0;
    return e;
}

enum err
why_prefix(struct why *why, enum err e, const char *format, ...)
{
    if (why == NULL) return e;
    char old[sizeof why->text];
    memcpy(old, why->text, sizeof old);
    va_list args;
    va_start(args, format);
    int used = vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof why->text) {
        size_t room = sizeof why->text - (size_t)used;
        /* Some errors, memory's above all, come without words. */
        const char *words = old[0] == '\0' ? err_word(e) : old;
        snprintf(why->text + used, room, ": %.*s", (int)room, words); /* cut by `room` */
    }
    return e;
}

const char *
why_text(const struct why *why, enum err e)
{
    return why->text[0] == '\0' ? err_word(e) : why->text;
}

bool
why_names(const struct why *why, const char *path)
{
    size_t size = strlen(path);
    if (size == 0) return false;
    for (const char *at = why->text; (at = strstr(at, path)) != NULL; at++) {
        bool first = at == why->text;
        char next = at[size];
        if (!first && at[-1] != ' ') continue;
        if (path[size - 1] == '/' || next == ':' || next == '/' || (first && next == ' '))
            return true;
    }
    return false;
}

enum err
err_from_errno(int errno_value)
{
    switch (errno_value) {
    case 0:
        return OK;
    case ENOMEM:
        return ERR_NOMEM;
    case ENOSPC:
    case EDQUOT:
        return ERR_FULL;
    case ENOENT:
        return ERR_MISSING;
    case EAGAIN:
    case EMFILE:
    case ENFILE:
        return ERR_AGAIN;
    default:
        return ERR_IO;
    }
}

struct errno_text
errno_text(int errno_value)
{
    struct errno_text t;
    const char *text = strerrordesc_np(errno_value);
    if (text == NULL) text = "unknown error";
    if (errno_value == EACCES) {
        snprintf(t.text, sizeof t.text, "%s; give access to user ID %lu", text,
                 (unsigned long)geteuid());
    } else if (errno_value == EROFS) {
        snprintf(t.text, sizeof t.text, "%s; mount it for writing or choose another path", text);
    } else {
        snprintf(t.text, sizeof t.text, "%s", text);
    }
    return t;
}
