/* flags.c - parses words one by one: a flag, its value, or a positional word. */
#include "cli/lib/flags.h"

#include <assert.h>
#include <stdio.h>

#include "base/text/suggest.h"
#include "base/text/time_text.h"
#include "sys/env.h"

static enum err
set_choice(const struct flag *f, int *to, const char *value, struct why *why)
{
    char expected[200];
    size_t size = 0;
    for (int i = 0; f->choices[i] != NULL; i++) {
        if (strcmp(value, f->choices[i]) == 0) {
            *to = i;
            return OK;
        }
        const char *between = i == 0 ? "" : f->choices[i + 1] == NULL ? " or " : ", ";
        int n = snprintf(expected + size, sizeof expected - size, "%s%s", between, f->choices[i]);
        size += (size_t)n;
        assert(size < sizeof expected);
    }
    return why_set(why, ERR_INPUT, "--%s: expected %s", f->name, expected);
}

static enum err
set_value(const struct flag *f, void *to, const char *value, struct why *why)
{
    int64_t number;
    struct flag_texts *texts = to;
    struct flag_time *time = to;
    enum err e;
    switch (f->kind) {
    case FLAG_SWITCH:
        return why_set(why, ERR_INPUT, "--%s takes no value", f->name);
    case FLAG_TEXT:
        *(const char **)to = value;
        return OK;
    case FLAG_TEXTS:
        if (texts->count == FLAG_TEXTS_MAX) {
            return why_set(why, ERR_INPUT, "--%s can be given at most %d times", f->name,
                           FLAG_TEXTS_MAX);
        }
        texts->at[texts->count++] = value;
        return OK;
    case FLAG_COUNT:
        if (!time_parse_ms(bytes_of_text(value), &number) || number < 0)
            return why_set(why, ERR_INPUT, "--%s: invalid number '%.64s'", f->name, value);
        *(uint64_t *)to = (uint64_t)number;
        return OK;
    case FLAG_TIME:
        time->word = value;
        e = time_parse(bytes_of_text(value), env_realtime_ms(env_real()), &time->ms, why);
        return e ? why_prefix(why, e, "--%s", f->name) : OK;
    case FLAG_CHOICE:
        return set_choice(f, to, value, why);
    case FLAG_REMOVED:
        return why_set(why, ERR_INPUT, "--%s was removed: %s", f->name, f->help);
    case FLAG_DURATION:
        break;
    }
    if (!time_parse_duration(bytes_of_text(value), &number) ||
        __builtin_mul_overflow(number, 1000000, (int64_t *)to)) {
        return why_set(why, ERR_INPUT,
                       "--%s: invalid duration '%.64s': expected one such as 90s or 1h30m", f->name,
                       value);
    }
    return OK;
}

/* Parses the flag at `at`, and skips a value that is a word of its own. */
static enum err
take_flag(const struct flag *flags, void *base, int count, char **words, int *at, struct why *why)
{
    const char *word = words[*at];
    bool is_long = word[1] == '-';
    const char *equals = is_long ? strchr(word, '=') : NULL;
    const char *value = equals == NULL ? NULL : equals + 1;
    struct bytes name = bytes_of_text(word + 1 + is_long);
    if (equals != NULL) name.size = (size_t)(equals - word - 2);
    const struct flag *f = flags;
    while (f->name != NULL && !(is_long ? bytes_equal_text(name, f->name) : f->letter == word[1]))
        f++;
    if (f->name == NULL) {
        struct suggestion near;
        suggest_begin(&near, name);
        for (f = flags; f->name != NULL; f++)
            if (f->kind != FLAG_REMOVED) suggest_try(&near, f->name);
        return why_set(why, ERR_INPUT, "unknown flag '%.64s'%s", word,
                       suggest_hint(&near, "--").text);
    }
    void *to = (uint8_t *)base + f->at;
    if (!is_long && word[2] != '\0') value = word + 2;
    if (f->kind == FLAG_SWITCH && value == NULL) {
        *(bool *)to = true;
        return OK;
    }
    if (value == NULL && f->kind != FLAG_REMOVED) {
        if (*at + 1 == count) return why_set(why, ERR_INPUT, "--%s requires a value", f->name);
        value = words[++*at];
    }
    return set_value(f, to, value, why);
}

enum err
flags_parse(const struct flag *flags, void *to, int count, char **words, int *ret_word_count,
            struct why *why)
{
    int found = 0;
    bool only_words = false;
    for (int i = 0; i < count; i++) {
        char *word = words[i];
        if (!only_words && strcmp(word, "--") == 0) {
            only_words = true;
        } else if (only_words || word[0] != '-' || word[1] == '\0') {
            words[found++] = word; /* "-" alone is standard input */
        } else {
            enum err e = take_flag(flags, to, count, words, &i, why);
            if (e) return e;
        }
    }
    *ret_word_count = found;
    return OK;
}

void
flags_help(const struct flag *flags, struct buf *to)
{
    for (const struct flag *f = flags; f->name != NULL; f++) {
        if (f->kind == FLAG_REMOVED) continue;
        buf_put_text(to, "  ");
        if (f->letter != 0) {
            buf_printf(to, "-%c%s%s, ", f->letter, f->what == NULL ? "" : " ",
                       f->what == NULL ? "" : f->what);
        }
        buf_printf(to, "--%s%s%s\n        %s\n", f->name, f->what == NULL ? "" : "=",
                   f->what == NULL ? "" : f->what, f->help);
    }
}
