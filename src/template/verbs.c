/*
 * verbs.c - values as text, as Go's package fmt prints them: see run.h.
 *
 * A map, a list or a sample is printed element by element, each with the same verb. A verb that
 * does not fit a value prints it as %v does. A verb without argument and an argument without verb
 * are errors of the template. docs/templates.md lists verbs and flags.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>

#include "base/text/quote.h"
#include "base/text/utf8.h"
#include "template/run.h"
#include "wire/number.h"

enum { NUMBER_MAX = 1000000 }; /* limit of a width or a precision; more is never useful */

/* State of one verb applied to one value. */
struct verb {
    struct buf *to;
    struct buf *scratch; /* for the text of a value before padding */
    char verb;           /* '\0' if it is not ASCII */
    bool plus, minus, sharp, space, zero;
    bool names; /* print names of fields, for %+v */
    bool has_width, has_precision;
    uint32_t width, precision;
};

static bool verb_put_value(struct verb *v, const struct tmpl_value *value);

/* Clears the scratch buffer. If its text was too long and cut, `to` fails, too. */
static void
clear_scratch(struct verb *v)
{
    v->to->failed = err_first(v->to->failed, buf_error(v->scratch));
    buf_clear(v->scratch);
}

/* --- padding ---------------------------------------------------------------------------------- */

static void
put_padding(struct verb *v, size_t count)
{
    if (count == 0 || !buf_reserve(v->to, count)) return;
    memset(v->to->at + v->to->size, v->zero && !v->minus ? '0' : ' ', count);
    v->to->size += count;
}

static void
put_padded(struct verb *v, struct bytes text)
{
    size_t count = 0;
    for (size_t i = 0; v->has_width && i < text.size; count++) {
        unsigned bytes;
        rune_get(text.at + i, text.size - i, &bytes);
        i += bytes;
    }
    size_t missing = v->has_width && v->width > count ? v->width - count : 0;
    if (!v->minus) put_padding(v, missing);
    buf_put_bytes(v->to, text);
    if (v->minus) put_padding(v, missing);
}

/* Puts a number that has its zeros, padded with spaces. */
static void
verb_put_number(struct verb *v)
{
    bool zero = v->zero;
    v->zero = false;
    put_padded(v, buf_bytes(v->scratch));
    v->zero = zero;
}

/* --- strings ---------------------------------------------------------------------------------- */

static struct bytes
cut_runes(const struct verb *v, struct bytes text)
{
    if (!v->has_precision) return text;
    size_t size = 0;
    for (uint32_t i = 0; i < v->precision && size < text.size; i++) {
        unsigned bytes;
        rune_get(text.at + size, text.size - size, &bytes);
        size += bytes;
    }
    return bytes_of(text.at, size);
}

static bool
put_string(struct verb *v, struct bytes text)
{
    struct buf changed; /* the text may lie in the scratch buffer */
    if (v->verb == 's' || v->verb == 'v') {
        put_padded(v, cut_runes(v, text));
        return true;
    }
    if (strchr("qxX", v->verb) == NULL || v->sharp || v->plus || v->space) return false;
    buf_init(&changed, v->to->budget, v->to->limit);
    if (v->verb == 'q') {
        quote_text(&changed, cut_runes(v, text));
    } else {
        const char *digits = v->verb == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
        size_t size = v->has_precision && v->precision < text.size ? v->precision : text.size;
        for (size_t i = 0; i < size && buf_error(&changed) == OK; i++) {
            buf_put_u8(&changed, (uint8_t)digits[text.at[i] >> 4]);
            buf_put_u8(&changed, (uint8_t)digits[text.at[i] & 15]);
        }
    }
    put_padded(v, buf_bytes(&changed));
    v->to->failed = err_first(v->to->failed, buf_error(&changed));
    buf_fini(&changed);
    return true;
}

/* --- numbers ---------------------------------------------------------------------------------- */

/* Puts an integer. A precision is the least number of digits, and so is a width with the flag 0. */
static void
put_base(struct verb *v, int64_t n, unsigned base)
{
    const char *all = v->verb == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    char digits[64];
    size_t at = sizeof digits;
    uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    bool sign = n < 0 || v->plus || v->space;
    if (v->has_precision && v->precision == 0 && n == 0) {
        verb_put_number(v);
        return;
    }
    do {
        digits[--at] = all[rest % base];
        rest /= base;
    } while (rest > 0);
    size_t count = sizeof digits - at, wanted = v->has_precision ? v->precision : 0;
    if (!v->has_precision && v->zero && !v->minus && v->width > sign) wanted = v->width - sign;
    if (sign) buf_put_u8(v->scratch, n < 0 ? '-' : v->plus ? '+' : ' ');
    if (v->sharp && base == 2) buf_put_text(v->scratch, "0b");
    if (v->sharp && base == 8) buf_put_text(v->scratch, "0");
    if (v->sharp && base == 16) buf_put_text(v->scratch, v->verb == 'X' ? "0X" : "0x");
    for (; wanted > count && buf_error(v->scratch) == OK; wanted--)
        buf_put_u8(v->scratch, '0');
    buf_put(v->scratch, digits + at, count);
    verb_put_number(v);
}

static bool
put_character(struct verb *v, int64_t n)
{
    uint8_t text[UTF8_BYTES_MAX];
    bool is_rune = n >= 0 && n <= 0x10ffff && (n < 0xd800 || n > 0xdfff);
    int32_t c = is_rune ? (int32_t)n : RUNE_BAD;
    if (v->sharp || v->plus || (v->verb == 'U' && v->has_precision)) return false;
    if (v->verb == 'U') {
        buf_printf(v->scratch, "U+%04llX", (unsigned long long)n);
        verb_put_number(v);
        return true;
    }
    if (v->verb == 'c')
        buf_put(v->scratch, text, utf8_put(text, (uint32_t)c));
    else
        quote_rune(v->scratch, c);
    put_padded(v, buf_bytes(v->scratch));
    return true;
}

static bool
put_integer(struct verb *v, int64_t n)
{
    clear_scratch(v);
    switch (v->verb) {
    case 'v':
    case 'd':
        if (v->sharp) return false;
        put_base(v, n, 10);
        return true;
    case 'b':
        put_base(v, n, 2);
        return true;
    case 'o':
        put_base(v, n, 8);
        return true;
    case 'x':
    case 'X':
        put_base(v, n, 16);
        return true;
    case 'c':
    case 'q':
    case 'U':
        return put_character(v, n);
    default:
        return false;
    }
}

/* Puts digits without a sign. The C library's e, f and g are those of Go. */
static void
put_digits(struct verb *v, double magnitude)
{
    enum { DIGITS_MAX = 330 };
    struct buf *to = v->scratch;
    bool general = strchr("vgG", v->verb) != NULL;
    size_t begin = to->size, precision = v->has_precision ? v->precision : 6;
    if (general && !v->has_precision) {
        char text[NUMBER_TEXT_BYTES];
        buf_put(to, text, number_print_sentence(double_bits(magnitude), text));
        for (size_t i = begin; v->verb == 'G' && i < to->size; i++)
            if (to->at[i] == 'e') to->at[i] = 'E';
        return;
    }
    if (!buf_reserve(to, precision + DIGITS_MAX)) return;
    char verb = v->verb == 'v' ? 'g' : v->verb;
    to->size += (size_t)snprintf((char *)to->at + begin, precision + DIGITS_MAX,
                                 verb == 'e'   ? "%.*e"
                                 : verb == 'E' ? "%.*E"
                                 : verb == 'f' ? "%.*f"
                                 : verb == 'F' ? "%.*F"
                                 : verb == 'g' ? "%.*g"
                                               : "%.*G",
                                 (int)precision, magnitude);
}

static bool
put_float(struct verb *v, double number)
{
    if (v->sharp || strchr("veEfFgG", v->verb) == NULL) return false;
    char sign = signbit(number) && !isnan(number) ? '-' : v->space && !v->plus ? ' ' : '+';
    bool shows = v->plus || sign != '+' || isinf(number);
    clear_scratch(v);
    if (shows) buf_put_u8(v->scratch, (uint8_t)sign);
    if (!isfinite(number)) {
        buf_put_text(v->scratch, isnan(number) ? "NaN" : "Inf");
        verb_put_number(v);
        return true;
    }
    put_digits(v, fabs(number));
    struct bytes text = buf_bytes(v->scratch);
    if (shows && v->zero && !v->minus && v->width > text.size) { /* zeros after the sign */
        buf_put_u8(v->to, text.at[0]);
        put_padding(v, v->width - text.size);
        buf_put(v->to, text.at + 1, text.size - 1);
    } else {
        put_padded(v, text);
    }
    return true;
}

/* --- values ----------------------------------------------------------------------------------- */

static bool
put_map(struct verb *v, const struct tmpl_map *map)
{
    buf_put_text(v->to, "map[");
    for (uint32_t i = 0; i < map->count && buf_error(v->to) == OK; i++) {
        const struct tmpl_value key = tmpl_of_text(map->entries[i].key);
        if (i > 0) buf_put_u8(v->to, ' ');
        if (!verb_put_value(v, &key)) return false;
        buf_put_u8(v->to, ':');
        if (!verb_put_value(v, &map->entries[i].value)) return false;
    }
    buf_put_u8(v->to, ']');
    return true;
}

static bool
put_result(struct verb *v, const struct tmpl_value *value)
{
    buf_put_u8(v->to, '[');
    for (uint32_t i = 0; i < value->result.count && buf_error(v->to) == OK; i++) {
        const struct tmpl_value sample = tmpl_element(value, i);
        if (i > 0) buf_put_u8(v->to, ' ');
        if (!verb_put_value(v, &sample)) return false;
    }
    buf_put_u8(v->to, ']');
    return true;
}

static bool
put_struct(struct verb *v, const struct tmpl_value *value)
{
    const char *name;
    struct tmpl_value field;
    buf_put_u8(v->to, '{');
    for (unsigned i = 0; tmpl_field_at(value, i, &name, &field); i++) {
        if (i > 0) buf_put_u8(v->to, ' ');
        if (v->names) buf_put_text(v->to, name);
        if (v->names) buf_put_u8(v->to, ':');
        if (!verb_put_value(v, &field)) return false;
    }
    buf_put_u8(v->to, '}');
    return true;
}

/* Puts a moment, a duration or a histogram. */
static bool
put_own_text(struct verb *v, const struct tmpl_value *value)
{
    if (strchr("vsqxX", v->verb) == NULL)
        return value->type == TMPL_TYPE_DURATION && put_integer(v, value->integer);
    clear_scratch(v);
    tmpl_print_own(value, v->scratch);
    return put_string(v, buf_bytes(v->scratch));
}

static bool
put_one(struct verb *v, const struct tmpl_value *value)
{
    switch (value->type) {
    case TMPL_TYPE_NIL:
        if (v->verb == 'v') put_padded(v, bytes_of_text("<nil>"));
        return v->verb == 'v';
    case TMPL_TYPE_BOOL:
        if (v->verb != 't' && v->verb != 'v') return false;
        put_padded(v, bytes_of_text(value->truth ? "true" : "false"));
        return true;
    case TMPL_TYPE_INT:
        return put_integer(v, value->integer);
    case TMPL_TYPE_FLOAT:
        return put_float(v, value->number);
    case TMPL_TYPE_STRING:
        return put_string(v, value->text);
    case TMPL_TYPE_TIME:
    case TMPL_TYPE_DURATION:
    case TMPL_TYPE_HISTOGRAM:
        return put_own_text(v, value);
    case TMPL_TYPE_LABELS:
    case TMPL_TYPE_ARGS:
        return put_map(v, value->map);
    case TMPL_TYPE_RESULT:
        return put_result(v, value);
    case TMPL_TYPE_SAMPLE:
    case TMPL_TYPE_DATA:
        return put_struct(v, value);
    case TMPL_TYPE_ANY:
        break; /* no value has this kind */
    }
    return false;
}

static bool
verb_put_value(struct verb *v, const struct tmpl_value *value)
{
    if (buf_error(v->to)) return true;
    return v->verb != '\0' && !(v->sharp && v->verb == 'v') && put_one(v, value);
}

/* --- formats ---------------------------------------------------------------------------------- */

struct format {
    struct tmpl_run *run;
    struct bytes text;
    size_t at;
    const struct tmpl_value *args;
    uint32_t count;
    uint32_t next;  /* index of the next argument */
    bool reordered; /* an argument was named by index */
    struct verb verb;
};

static char
verb_peek_char(const struct format *f)
{
    return f->at < f->text.size && f->text.at[f->at] < 0x80 ? (char)f->text.at[f->at] : '\0';
}

/* Reads digits. False without digits. */
static bool
take_digits(struct format *f, uint32_t *ret)
{
    size_t begin = f->at;
    uint32_t v = 0;
    for (; ascii_is_digit((uint8_t)verb_peek_char(f)); f->at++)
        v = v > NUMBER_MAX ? v : v * 10 + (uint32_t)(verb_peek_char(f) - '0');
    *ret = v;
    return f->at > begin;
}

/* Puts a directive, from after the percent sign. */
static bool
put_directive(struct format *f)
{
    size_t begin = f->at - 1;
    struct verb *v = &f->verb;
    unsigned bytes;
    *v = (struct verb){.to = v->to, .scratch = v->scratch};
    static const char flags[] = "#0+- ";
    bool *const fields[] = {&v->sharp, &v->zero, &v->plus, &v->minus, &v->space};
    const char *flag;
    for (; verb_peek_char(f) != '\0' && (flag = strchr(flags, verb_peek_char(f))) != NULL; f->at++)
        *fields[flag - flags] = true;
    v->has_width = take_digits(f, &v->width);
    if (verb_peek_char(f) == '.') {
        f->at++;
        v->has_precision = true;
        take_digits(f, &v->precision);
    }
    if (verb_peek_char(f) == '[') { /* [3] names an argument; other indexes name none */
        uint32_t index = 0;
        f->at++;
        bool digits = take_digits(f, &index) && verb_peek_char(f) == ']';
        if (digits) f->at++;
        f->next = digits && index > 0 ? index - 1 : f->count;
        f->reordered = true;
    }
    if (f->at >= f->text.size) return run_fail(f->run, "%% at the end of the format has no verb");
    v->verb = verb_peek_char(f);
    rune_get(f->text.at + f->at, f->text.size - f->at, &bytes);
    f->at += bytes;
    if (v->verb == '%') {
        buf_put_u8(v->to, '%');
        return true;
    }
    int size = (int)(f->at - begin);
    const char *text = (const char *)f->text.at + begin;
    if (f->next >= f->count) return run_fail(f->run, "%.*s has no argument", size, text);
    v->names = v->verb == 'v' && v->plus;
    if (v->verb == 'v') v->plus = false;
    assert(f->next < f->count);
    const struct tmpl_value *value = &f->args[f->next++];
    size_t before = v->to->size;
    if (verb_put_value(v, value)) return true;
    /* An alert with its value printed in another way is worth more than an error. */
    v->to->size = before;
    *v = (struct verb){.to = v->to, .scratch = v->scratch, .verb = 'v'};
    (void)verb_put_value(v, value); /* %v fits all values */
    return true;
}

bool
run_printf(struct tmpl_run *run, struct bytes format, const struct tmpl_value *args, uint32_t count)
{
    struct buf *to = &run->text;
    struct format f = {.run = run, .text = format, .args = args, .count = count};
    f.verb = (struct verb){.to = to, .scratch = &run->scratch};
    buf_clear(&run->scratch);
    while (f.at < format.size && buf_error(to) == OK) {
        const uint8_t *from = format.at + f.at, *found = memchr(from, '%', format.size - f.at);
        size_t end = found == NULL ? format.size : (size_t)(found - format.at);
        buf_put(to, from, end - f.at);
        f.at = end + 1;
        if (found != NULL && !put_directive(&f)) return false;
        clear_scratch(&f.verb);
    }
    if (f.reordered || f.next >= count || buf_error(to)) return true;
    return run_fail(run, "the format has verbs for %u of %u arguments", f.next, count);
}

void
run_print(struct tmpl_run *run, const struct tmpl_value *args, uint32_t count, bool apart,
          struct buf *to)
{
    struct verb v = {.to = to, .scratch = &run->scratch, .verb = 'v'};
    buf_clear(v.scratch);
    for (uint32_t i = 0; i < count && buf_error(to) == OK; i++) {
        bool texts =
            i > 0 && (args[i].type == TMPL_TYPE_STRING || args[i - 1].type == TMPL_TYPE_STRING);
        if (i > 0 && (apart || !texts)) buf_put_u8(to, ' ');
        (void)verb_put_value(&v, &args[i]); /* %v fits all values */
    }
    clear_scratch(&v);
}
