/*
 * text.c - parses and prints one value. Numbers of all kinds are a uint64_t, stored in as many
 * bytes as the field has; kinds differ in their tables of units. A number is printed in the
 * shortest form that reads back as the same, so that what the API shows can go into a file.
 */
#include "config/schema/text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/text/suggest.h"
#include "base/text/utf8.h"
#include "sys/paths.h"

struct unit {
    const char *word;
    uint64_t factor;
};

#define KIB ((uint64_t)1024)
#define SEC ((uint64_t)1000)
#define DAY (24 * 3600 * SEC)

/* Largest first, the order in which they are written; years and weeks have Prometheus' lengths. */
static const struct unit duration_units[] = {
    {"y", 365 * DAY}, {"w", 7 * DAY}, {"d", DAY}, {"h", 3600 * SEC},
    {"m", 60 * SEC},  {"s", SEC},     {"ms", 1},  {NULL, 0},
};

/* If two forms are equally short the first is written: 1KiB rather than 1024. */
static const struct unit byte_units[] = {
    {"KiB", KIB},
    {"MiB", KIB *KIB},
    {"GiB", KIB *KIB *KIB},
    {"TiB", KIB *KIB *KIB *KIB},
    {"PiB", KIB *KIB *KIB *KIB *KIB},
    {"KB", 1000},
    {"MB", 1000000},
    {"GB", 1000000000},
    {"TB", 1000000000000},
    {"PB", 1000000000000000},
    {"", 1},
    {"B", 1},
    {NULL, 0},
};

static const struct unit count_units[] = {
    {"k", 1000}, {"M", 1000000}, {"G", 1000000000}, {"", 1}, {NULL, 0},
};

static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

char *
setting_yaml_name(const struct setting *setting, char to[SETTING_TEXT_BYTES])
{
    snprintf(to, SETTING_TEXT_BYTES, "%s", setting->name);
    char *dot = strchr(to, '.'); /* web.config.file is config_file below web */
    for (char *p = to; *p != 0; p++)
        if (*p == '-' || (*p == '.' && p > dot)) *p = '_';
    return to;
}

/* --- fields ----------------------------------------------------------------------------------- */

uint64_t
setting_number(const struct setting *setting, const struct settings *from)
{
    assert(setting->type != SETTING_TEXT);
    uint64_t number = 0; /* little endian: a narrow field fills the low bytes */
    memcpy(&number, (const uint8_t *)from + setting->offset, setting->size);
    return number;
}

const char *
setting_text(const struct setting *setting, const struct settings *from)
{
    assert(setting->type == SETTING_TEXT);
    return (const char *)from + setting->offset;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Parses the digits at the front of *text, and moves *text after them. */
static bool
take_digits(struct bytes *text, uint64_t *ret_number)
{
    uint64_t number = 0;
    size_t n = 0;
    for (; n < text->size && text->at[n] >= '0' && text->at[n] <= '9'; n++) {
        if (__builtin_mul_overflow(number, 10, &number)) return false;
        if (__builtin_add_overflow(number, (uint64_t)(text->at[n] - '0'), &number)) return false;
    }
    if (n == 0) return false;
    *text = bytes_of(text->at + n, text->size - n);
    *ret_number = number;
    return true;
}

/* Finds the letters at the front of *text in `units`, and moves *text after them; NULL: unknown
 * unit. */
static const struct unit *
take_unit(struct bytes *text, const struct unit *units)
{
    size_t n = 0;
    while (n < text->size && (text->at[n] < '0' || text->at[n] > '9'))
        n++;
    struct bytes word = bytes_of(text->at, n);
    for (const struct unit *u = units; u->word != NULL; u++) {
        if (!bytes_equal_text(word, u->word)) continue;
        *text = bytes_of(text->at + n, text->size - n);
        return u;
    }
    return NULL;
}

/* Parses 5s, 1h30m: each unit once, the larger before the smaller; a bare 0 needs no unit. */
static bool
parse_duration(struct bytes text, uint64_t *ret_number)
{
    *ret_number = 0;
    if (bytes_equal_text(text, "0")) return true;
    const struct unit *allowed = duration_units;
    do {
        uint64_t number;
        if (!take_digits(&text, &number)) return false;
        const struct unit *u = take_unit(&text, allowed);
        if (u == NULL) return false;
        if (__builtin_mul_overflow(number, u->factor, &number)) return false;
        if (__builtin_add_overflow(*ret_number, number, ret_number)) return false;
        allowed = u + 1;
    } while (text.size > 0);
    return true;
}

static bool
parse_scaled(struct bytes text, const struct unit *units, uint64_t *ret_number)
{
    uint64_t number;
    if (!take_digits(&text, &number)) return false;
    const struct unit *u = take_unit(&text, units);
    return u != NULL && text.size == 0 && !__builtin_mul_overflow(number, u->factor, ret_number);
}

static bool
parse_choice(struct bytes text, const char *choices, uint64_t *ret_number)
{
    for (uint64_t index = 0;; index++) {
        size_t size = strcspn(choices, "|");
        if (bytes_equal(text, bytes_of(choices, size))) {
            *ret_number = index;
            return true;
        }
        if (choices[size] == 0) return false;
        choices += size + 1;
    }
}

/* Parses "a,b" into a bit for each; duplicates are invalid. */
static bool
parse_set(struct bytes text, const char *choices, uint64_t *ret_number)
{
    *ret_number = 0;
    while (text.size > 0) {
        const uint8_t *comma = memchr(text.at, ',', text.size);
        size_t size = comma == NULL ? text.size : (size_t)(comma - text.at);
        uint64_t index;
        if (!parse_choice(bytes_of(text.at, size), choices, &index)) return false;
        if ((*ret_number >> index & 1) != 0) return false;
        *ret_number |= UINT64_C(1) << index;
        if (comma == NULL) break;
        text = bytes_of(text.at + size + 1, text.size - size - 1);
        if (text.size == 0) return false;
    }
    return true;
}

static bool
parse_number(const struct setting *setting, struct bytes text, uint64_t *ret_number)
{
    switch (setting->type) {
    case SETTING_BOOL:
        return parse_choice(text, "false|true", ret_number);
    case SETTING_CHOICE:
        return parse_choice(text, setting->choices, ret_number);
    case SETTING_SET:
        return parse_set(text, setting->choices, ret_number);
    case SETTING_DURATION:
        return parse_duration(text, ret_number);
    case SETTING_BYTES:
    case SETTING_BYTES32:
        return parse_scaled(text, byte_units, ret_number);
    case SETTING_COUNT64:
        return parse_scaled(text, count_units, ret_number);
    default:
        return parse_scaled(text, no_units, ret_number);
    }
}

static enum err
check_range(const struct setting *s, uint64_t number, struct why *why)
{
    if (number == 0 && s->zero != NULL) return OK;
    bool any = s->min == 0 && s->max == 0; /* any number that fits the field */
    bool narrow = s->type == SETTING_COUNT || s->type == SETTING_BYTES32;
    uint64_t max = !any                          ? s->max
                   : narrow                      ? UINT32_MAX
                   : s->type == SETTING_DURATION ? INT64_MAX
                                                 : UINT64_MAX;
    if (number >= s->min && number <= max) return OK;
    char found[SETTING_NUMBER_BYTES], low[SETTING_NUMBER_BYTES], high[SETTING_NUMBER_BYTES];
    setting_number_text(s, number, found, sizeof found);
    setting_number_text(s, s->min, low, sizeof low);
    setting_number_text(s, max, high, sizeof high);
    return why_set(why, ERR_INPUT, "must be %s%s%sbetween %s and %s, got %s",
                   s->zero == NULL ? "" : "0 (", s->zero == NULL ? "" : s->zero,
                   s->zero == NULL ? "" : ") or ", low, high, found);
}

static enum err
parse_text(const struct setting *s, struct bytes text, struct settings *to, struct why *why)
{
    uint64_t max = s->max == 0 ? SETTING_TEXT_BYTES - 1 : s->max;
    assert(max < SETTING_TEXT_BYTES);
    if (text.size < s->min) return why_set(why, ERR_INPUT, "must not be empty");
    if (text.size > max) {
        return why_set(why, ERR_INPUT, "must be at most %" PRIu64 " bytes, got %zu", max,
                       text.size);
    }
    char copy[SETTING_TEXT_BYTES] = {0}; /* zeroed: equal settings are equal bytes */
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < ' ' || text.at[i] == 0x7f) {
            return why_set(why, ERR_INPUT, "must not contain control characters, got %s",
                           shown_of(text).text);
        }
        copy[i] = (char)text.at[i];
    }
    const char *expected = NULL;
    enum err e = s->check != NULL        ? s->check(copy, &expected)
                 : s->check_item != NULL ? settings_check_items(copy, s->check_item, &expected)
                                         : OK;
    if (e == ERR_INPUT)
        return why_set(why, e, "expected %s, got %s", expected, shown_of(text).text);
    if (e) return why_set(why, e, "not enough memory");
    memcpy((uint8_t *)to + s->offset, copy, sizeof copy);
    return OK;
}

enum err
setting_parse_number(const struct setting *setting, struct bytes text, uint64_t *ret_number,
                     struct why *why)
{
    uint64_t number;
    if (!parse_number(setting, text, &number)) {
        char expected[160], word[SUGGEST_BYTES_MAX];
        struct suggestion near;
        setting_expected(setting, expected, sizeof expected);
        suggest_begin(&near, text);
        const char *p = setting->choices;
        while (p != NULL) {
            size_t n = strcspn(p, "|");
            snprintf(word, sizeof word, "%.*s", (int)n, p);
            suggest_try(&near, word);
            p = p[n] == 0 ? NULL : p + n + 1;
        }
        return why_set(why, ERR_INPUT, "expected %s, got %s%s", expected, shown_of(text).text,
                       suggest_hint(&near, "").text);
    }
    enum err e = check_range(setting, number, why);
    if (e == OK) *ret_number = number;
    return e;
}

enum err
setting_parse(const struct setting *setting, struct bytes text, struct settings *to,
              struct why *why)
{
    if (setting->type == SETTING_TEXT) return parse_text(setting, text, to, why);
    uint64_t number;
    enum err e = setting_parse_number(setting, text, &number, why);
    if (e) return e;
    memcpy((uint8_t *)to + setting->offset, &number, setting->size);
    return OK;
}

/* --- writing ---------------------------------------------------------------------------------- */

void
setting_expected(const struct setting *setting, char *to, size_t size)
{
    static const char *const words[] = {
        [SETTING_TEXT] = "text",
        [SETTING_BOOL] = "true or false",
        [SETTING_COUNT] = "a whole number",
        [SETTING_COUNT64] = "a whole number, optionally with k, M or G",
        [SETTING_BYTES] = "a size such as 512MiB or 500GB",
        [SETTING_BYTES32] = "a size such as 512 or 16KiB",
        [SETTING_DURATION] = "a duration such as 90s or 1h30m",
        [SETTING_CHOICE] = "one of ",
        [SETTING_SET] = "any of ",
    };
    const char *word = setting->what != NULL ? setting->what : words[setting->type];
    size_t used = 0;
    for (const char *p = word; *p != 0 && used + 1 < size; p++)
        to[used++] = *p;
    if (setting->choices != NULL) {
        for (const char *p = setting->choices; *p != 0 && used + 3 < size; p++) {
            if (*p == '|') to[used++] = ',';
            to[used++] = *p == '|' ? ' ' : *p;
        }
    }
    to[used] = 0;
}

static void
duration_text(uint64_t ms, char *to, size_t size)
{
    snprintf(to, size, "0s");
    size_t used = 0;
    for (const struct unit *u = duration_units; u->word != NULL && used < size; u++) {
        /* Days read better than a sum of weeks: 8d rather than 1w1d. */
        bool whole_only = u->factor >= 7 * DAY;
        if (ms < u->factor || (whole_only && ms % u->factor != 0)) continue;
        used += (size_t)snprintf(to + used, size - used, "%" PRIu64 "%s", ms / u->factor, u->word);
        ms %= u->factor;
    }
}

/* Writes the shortest exact form. */
static void
scaled_text(uint64_t number, const struct unit *units, char *to, size_t size)
{
    size_t shortest = SIZE_MAX;
    for (const struct unit *u = units; u->word != NULL; u++) {
        if (number % u->factor != 0 || (number == 0 && u->factor > 1)) continue;
        char form[48];
        size_t length =
            (size_t)snprintf(form, sizeof form, "%" PRIu64 "%s", number / u->factor, u->word);
        if (length >= shortest) continue;
        shortest = length;
        snprintf(to, size, "%s", form);
    }
}

static void
choice_text(const char *choices, uint64_t index, char *to, size_t size)
{
    for (; index > 0; index--) {
        choices += strcspn(choices, "|");
        assert(*choices == '|');
        choices++;
    }
    snprintf(to, size, "%.*s", (int)strcspn(choices, "|"), choices);
}

static void
set_text(const char *choices, uint64_t bits, char *to, size_t size)
{
    size_t used = 0;
    to[0] = 0;
    for (uint64_t index = 0; bits >> index != 0; index++) {
        if ((bits >> index & 1) == 0) continue;
        if (used > 0) to[used++] = ',';
        choice_text(choices, index, to + used, size - used);
        used += strlen(to + used);
        assert(used + 1 < size);
    }
}

void
setting_number_text(const struct setting *setting, uint64_t number, char *to, size_t size)
{
    switch (setting->type) {
    case SETTING_BOOL:
        choice_text("false|true", number, to, size);
        break;
    case SETTING_CHOICE:
        choice_text(setting->choices, number, to, size);
        break;
    case SETTING_SET:
        set_text(setting->choices, number, to, size);
        break;
    case SETTING_DURATION:
        duration_text(number, to, size);
        break;
    case SETTING_BYTES:
    case SETTING_BYTES32:
        scaled_text(number, byte_units, to, size);
        break;
    case SETTING_COUNT64:
        scaled_text(number, count_units, to, size);
        break;
    default:
        snprintf(to, size, "%" PRIu64, number);
        break;
    }
}

void
settings_value(const struct settings *settings, const struct setting *setting, struct buf *to)
{
    if (setting->type == SETTING_TEXT) {
        buf_put_text(to, setting_text(setting, settings));
    } else {
        char text[SETTING_NUMBER_BYTES];
        setting_number_text(setting, setting_number(setting, settings), text, sizeof text);
        buf_put_text(to, text);
    }
}

/* --- values in YAML --------------------------------------------------------------------------- */

static enum err
expect_value(struct config_reader *r, const struct setting *shape, const char *name)
{
    char expected[200];
    if (r->event.type == YAML_SCALAR_EVENT && !reader_is_null(r)) return OK;
    setting_expected(shape, expected, sizeof expected);
    return reader_expected(r, name, expected);
}

enum err
reader_number(struct config_reader *r, const struct setting *shape, const char *name,
              uint64_t *ret_number)
{
    enum err e = expect_value(r, shape, name);
    return e ? e
             : reader_wrong(r, name,
                            setting_parse_number(shape, reader_scalar(r), ret_number, r->why));
}

enum err
reader_set(struct config_reader *r, const struct setting *shape, const char *name,
           uint64_t *ret_bits)
{
    uint64_t all = 0, one;
    for (;;) {
        enum err e = reader_next(r);
        if (e) return e;
        if (r->event.type == YAML_SEQUENCE_END_EVENT) break;
        e = reader_number(r, shape, name, &one);
        if (e) return e;
        if ((all & one) != 0) {
            return reader_complain(r, "%s: %s is there twice", name,
                                   shown_of(reader_scalar(r)).text);
        }
        all |= one;
    }
    *ret_bits = all;
    return OK;
}

/* Reads a list of texts as one text, which must not contain commas. */
static enum err
reader_list(struct config_reader *r, const struct setting *setting, const char *name,
            struct settings *to)
{
    struct buf all;
    enum err e;
    buf_init(&all, NULL, CONFIG_BYTES_MAX);
    for (;;) {
        e = reader_next(r);
        if (e || r->event.type == YAML_SEQUENCE_END_EVENT) break;
        e = expect_value(r, setting, name);
        if (e) break;
        struct bytes text = reader_scalar(r);
        if (text.size == 0 || memchr(text.at, ',', text.size) != NULL) {
            e = reader_complain(r,
                                "%s: expected a list without empty texts and without commas in "
                                "them, got %s",
                                name, shown_of(text).text);
            break;
        }
        if (all.size > 0) buf_put_u8(&all, ',');
        buf_put_bytes(&all, text);
    }
    if (e == OK && buf_error(&all)) e = why_set(r->why, buf_error(&all), "not enough memory");
    if (e == OK) e = reader_wrong(r, name, setting_parse(setting, buf_bytes(&all), to, r->why));
    buf_fini(&all);
    return e;
}

/* Makes the path that a setting has one from the directory of the file, as Prometheus does. */
static enum err
resolve_path(struct config_reader *r, const struct setting *setting, struct settings *to)
{
    struct arena arena;
    enum err e = OK;
    if (setting_text(setting, to)[0] == '\0') return OK;
    arena_init(&arena, NULL, 0, 0);
    const char *path = path_from(&arena, r->file_name, setting_text(setting, to));
    if (path == NULL)
        e = why_set(r->why, ERR_NOMEM, "not enough memory");
    else
        e = setting_parse(setting, bytes_of_text(path), to, r->why);
    arena_fini(&arena);
    return e;
}

enum err
reader_setting(struct config_reader *r, const struct setting *setting, const char *name,
               struct settings *to)
{
    if (setting->type == SETTING_SET && r->event.type == YAML_SEQUENCE_START_EVENT) {
        uint64_t bits;
        enum err e = reader_set(r, setting, name, &bits);
        if (e == OK) memcpy((uint8_t *)to + setting->offset, &bits, setting->size);
        return e;
    }
    if (setting->is_list && r->event.type == YAML_SEQUENCE_START_EVENT)
        return reader_list(r, setting, name, to);
    enum err e = expect_value(r, setting, name);
    if (e) return e;
    e = setting_parse(setting, reader_scalar(r), to, r->why);
    if (e == OK && setting->is_path) e = resolve_path(r, setting, to);
    return reader_wrong(r, name, e);
}
