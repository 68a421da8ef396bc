/*
 * names.c - see otlp.h. The name of a metric is split into tokens, gets unit and type as further
 * tokens, and is joined again; a name that is kept gets them as suffixes of its text.
 */
#include "inputs/otlp/otlp.h"

#include <string.h>

enum { NAME_BYTES_MAX = 4096, TOKENS_MAX = NAME_BYTES_MAX / 2, UNIT_BYTES = 256 };

static bool
is_word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* True for the bytes of a character of UTF-8 but its first: one character becomes one underscore.
 */
static bool
continues(uint8_t c)
{
    return (c & 0xc0) == 0x80;
}

/* --- units ------------------------------------------------------------------------------------ */

static const char *const units[][2] = {
    {"d", "days"},
    {"h", "hours"},
    {"min", "minutes"},
    {"s", "seconds"},
    {"ms", "milliseconds"},
    {"us", "microseconds"},
    {"ns", "nanoseconds"},
    {"By", "bytes"},
    {"KiBy", "kibibytes"},
    {"MiBy", "mebibytes"},
    {"GiBy", "gibibytes"},
    {"TiBy", "tibibytes"},
    {"KBy", "kilobytes"},
    {"MBy", "megabytes"},
    {"GBy", "gigabytes"},
    {"TBy", "terabytes"},
    {"m", "meters"},
    {"V", "volts"},
    {"A", "amperes"},
    {"J", "joules"},
    {"W", "watts"},
    {"g", "grams"},
    {"Cel", "celsius"},
    {"Hz", "hertz"},
    {"1", ""},
    {"%", "percent"},
    {NULL, NULL},
};
static const char *const per_units[][2] = {
    {"s", "second"}, {"m", "minute"}, {"h", "hour"}, {"d", "day"},
    {"w", "week"},   {"mo", "month"}, {"y", "year"}, {NULL, NULL},
};

/* A unit as suffixes of a name; without NUL. */
struct unit_suffixes {
    char main[UNIT_BYTES], per[UNIT_BYTES];
    size_t main_size, per_size;
};

static struct bytes
trimmed(struct bytes text)
{
    while (text.size > 0 && strchr(" \t\r\n\v\f", text.at[0]) != NULL)
        text = bytes_of(text.at + 1, text.size - 1);
    while (text.size > 0 && strchr(" \t\r\n\v\f", text.at[text.size - 1]) != NULL)
        text.size--;
    return text;
}

/* Writes the word for a unit, itself if it is unknown, or nothing for one in braces. */
static size_t
put_unit(struct bytes unit, const char *const words[][2], const char *begin, char to[UNIT_BYTES])
{
    unit = trimmed(unit);
    if (unit.size == 0 || memchr(unit.at, '{', unit.size) != NULL ||
        memchr(unit.at, '}', unit.size) != NULL)
        return 0;
    for (; (*words)[0] != NULL; words++) {
        if (!bytes_equal_text(unit, (*words)[0])) continue;
        unit = bytes_of_text((*words)[1]);
        break;
    }
    size_t size = strlen(begin);
    if (unit.size == 0 || size + unit.size > UNIT_BYTES) return 0;
    memcpy(to, begin, size);
    memcpy(to + size, unit.at, unit.size);
    return size + unit.size;
}

static struct unit_suffixes
suffixes_of(struct bytes unit)
{
    struct unit_suffixes s;
    const uint8_t *slash = unit.size == 0 ? NULL : memchr(unit.at, '/', unit.size);
    size_t main = slash == NULL ? unit.size : (size_t)(slash - unit.at);
    struct bytes per =
        slash == NULL ? bytes_of(NULL, 0) : bytes_of(slash + 1, unit.size - main - 1);
    s.main_size = put_unit(bytes_of(unit.at, main), units, "", s.main);
    s.per_size = put_unit(per, per_units, "per_", s.per);
    return s;
}

/* Puts one underscore in place of all bytes of a run that names do not have. */
static size_t
clean(char *text, size_t size)
{
    size_t to = 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t c = (uint8_t)text[i];
        bool fits = is_word(c) || c == ':';
        if (!fits && to > 0 && text[to - 1] == '_') continue;
        text[to++] = fits ? (char)c : '_';
    }
    if (to > 0 && text[0] == '_') memmove(text, text + 1, --to);
    return to;
}

void
otlp_unit(struct bytes unit, struct buf *to)
{
    struct unit_suffixes s = suffixes_of(unit);
    s.main_size = clean(s.main, s.main_size);
    s.per_size = clean(s.per, s.per_size);
    buf_put(to, s.main, s.main_size);
    if (s.main_size > 0 && s.per_size > 0) buf_put_text(to, "_");
    buf_put(to, s.per, s.per_size);
}

/* --- metrics ---------------------------------------------------------------------------------- */

struct tokens {
    struct bytes at[TOKENS_MAX + 4];
    uint32_t count;
};

/* Splits a name at all characters but those of words and `also`. */
static void
split(struct bytes name, const char *also, struct tokens *to)
{
    to->count = 0;
    for (size_t i = 0; i < name.size;) {
        size_t begin = i;
        while (i < name.size &&
               (is_word(name.at[i]) || (name.at[i] != '\0' && strchr(also, name.at[i]) != NULL)))
            i++;
        if (i > begin)
            to->at[to->count++] = bytes_of(name.at + begin, i - begin);
        else
            i++;
    }
}

static bool
has_token(const struct tokens *t, struct bytes word)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (bytes_equal(t->at[i], word)) return true;
    return false;
}

/* Appends a word that the tokens had anywhere. */
static void
move_to_end(struct tokens *t, const char *word)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->count; i++)
        if (!bytes_equal_text(t->at[i], word)) t->at[count++] = t->at[i];
    t->at[count++] = bytes_of_text(word);
    t->count = count;
}

static size_t
without_last_underscore(const char *text, size_t size)
{
    return size - (size > 0 && text[size - 1] == '_');
}

static void
add_units(struct tokens *t, struct unit_suffixes *s)
{
    s->main_size = clean(s->main, s->main_size);
    s->per_size = clean(s->per, s->per_size);
    if (has_token(t, bytes_of(s->main, s->main_size))) s->main_size = 0;
    s->per_size = without_last_underscore(s->per, s->per_size);
    if (bytes_equal_text(bytes_of(s->per, s->per_size), "per") ||
        has_token(t, bytes_of(s->per, s->per_size)))
        s->per_size = 0;
    if (s->per_size > 0) s->main_size = without_last_underscore(s->main, s->main_size);
    if (s->main_size > 0) t->at[t->count++] = bytes_of(s->main, s->main_size);
    if (s->per_size > 0) t->at[t->count++] = bytes_of(s->per, s->per_size);
}

static void
put_escaped(struct bytes name, struct bytes unit, enum otlp_kind kind, bool with_suffixes,
            struct buf *to)
{
    struct tokens t;
    struct unit_suffixes s;
    split(name, with_suffixes ? ":" : ":_", &t);
    if (with_suffixes) {
        s = suffixes_of(unit);
        add_units(&t, &s);
        if (kind == OTLP_MONOTONIC) move_to_end(&t, "total");
        if (kind == OTLP_GAUGE && bytes_equal_text(unit, "1")) move_to_end(&t, "ratio");
    }
    if (t.count > 0 && t.at[0].at[0] >= '0' && t.at[0].at[0] <= '9') buf_put_text(to, "_");
    for (uint32_t i = 0; i < t.count; i++) {
        if (i > 0) buf_put_text(to, "_");
        buf_put_bytes(to, t.at[i]);
    }
}

static bool
ends_with(struct bytes text, struct bytes end)
{
    return text.size >= end.size &&
           (end.size == 0 || memcmp(text.at + text.size - end.size, end.at, end.size) == 0);
}

/* Cuts a suffix off, and the character before it. */
static void
cut_suffix(struct bytes *text, struct bytes suffix)
{
    if (ends_with(*text, suffix) && text->size > suffix.size + 1) text->size -= suffix.size + 1;
}

static void
put_suffix(struct buf *to, struct bytes suffix)
{
    buf_put_text(to, "_");
    buf_put_bytes(to, suffix);
}

static void
put_kept(struct bytes name, struct bytes unit, enum otlp_kind kind, struct buf *to)
{
    const struct bytes total = bytes_of_text("total"), ratio = bytes_of_text("ratio");
    struct unit_suffixes s = suffixes_of(unit);
    struct bytes main = bytes_of(s.main, s.main_size), per = bytes_of(s.per, s.per_size);
    bool is_ratio = kind == OTLP_GAUGE && bytes_equal_text(unit, "1");
    if (is_ratio) cut_suffix(&name, ratio);
    if (kind == OTLP_MONOTONIC) cut_suffix(&name, total);
    if (per.size > 0) cut_suffix(&name, per);
    buf_put_bytes(to, name);
    if (main.size > 0 && !ends_with(name, main)) put_suffix(to, main);
    if (per.size > 0) put_suffix(to, per);
    if (kind == OTLP_MONOTONIC) put_suffix(to, total);
    if (is_ratio) put_suffix(to, ratio);
}

static bool
is_only_underscores(struct bytes text)
{
    size_t i = 0;
    while (i < text.size && text.at[i] == '_')
        i++;
    return i == text.size;
}

bool
otlp_metric_name(const struct otlp_settings *settings, struct bytes name, struct bytes unit,
                 enum otlp_kind kind, struct buf *to)
{
    size_t begin = to->size;
    if (name.size == 0 || name.size > NAME_BYTES_MAX) return false;
    switch ((enum otlp_translation)settings->translation) {
    case OTLP_ESCAPE_WITH_SUFFIXES:
        put_escaped(name, unit, kind, true, to);
        break;
    case OTLP_ESCAPE_WITHOUT_SUFFIXES:
        put_escaped(name, unit, kind, false, to);
        break;
    case OTLP_KEEP_WITH_SUFFIXES:
        put_kept(name, unit, kind, to);
        break;
    case OTLP_KEEP:
        buf_put_bytes(to, name);
        break;
    }
    struct bytes made = bytes_of(to->at + begin, to->size - begin);
    return made.size > 0 && (bytes_equal(made, name) || !is_only_underscores(made));
}

/* --- labels ----------------------------------------------------------------------------------- */

static void
put_label_escaped(struct bytes key, bool joins, struct buf *to)
{
    uint8_t before = 'x';
    bool is_reserved =
        key.size > 4 && memcmp(key.at, "__", 2) == 0 && memcmp(key.at + key.size - 2, "__", 2) == 0;
    if (joins && is_reserved) {
        buf_put_text(to, "__");
        key = bytes_of(key.at + 2, key.size - 4);
        before = '_';
    }
    for (size_t i = 0; i < key.size; i++) {
        uint8_t c = is_word(key.at[i]) ? key.at[i] : '_';
        if (continues(key.at[i]) || (joins && c == '_' && before == '_')) continue;
        buf_put_u8(to, c);
        before = c;
    }
    if (joins && is_reserved) buf_put_text(to, before == '_' ? "_" : "__");
}

bool
otlp_label_name(const struct otlp_settings *settings, struct bytes key, struct buf *to)
{
    size_t begin = to->size;
    if (is_only_underscores(key)) return false;
    if (settings->translation >= OTLP_KEEP_WITH_SUFFIXES) {
        buf_put_bytes(to, key);
        return true;
    }
    put_label_escaped(key, !settings->keeps_underscores, to);
    if (buf_error(to)) return true;
    const char *made = (const char *)to->at + begin, *prefix = "";
    size_t size = to->size - begin;
    if (is_only_underscores(bytes_of(made, size))) return false;
    if (made[0] >= '0' && made[0] <= '9')
        prefix = "key_";
    else if (made[0] == '_' && made[1] != '_' && settings->escapes_lone_underscore)
        prefix = "key";
    buf_put_text(to, prefix);
    if (buf_error(to) || prefix[0] == '\0') return true;
    memmove(to->at + begin + strlen(prefix), to->at + begin, size);
    memcpy(to->at + begin, prefix, strlen(prefix));
    return true;
}
