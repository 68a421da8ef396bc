/*
 * verbs.c - formats, and values of all types under a verb: see verbs.h. Flags, widths and
 * precisions are those of Go, and so are the words for mistakes: %!d(string=x), %!d(MISSING),
 * %!(EXTRA int=1), %!(NOVERB), %!d(BADINDEX), %!(BADWIDTH), %!(BADPREC).
 *
 * A map, a struct or a slice is printed element by element, each under the same verb. Addresses of
 * pointers, which nobody can foretell, are all the same here.
 */
#include "base/ascii.h"
#include "base/decimal.h"
#include "base/quote.h"
#include "base/utf8.h"
#include "template/verbs_private.h"

enum { NUMBER_MAX = 1000000 }; /* of a width or a precision */

#define POINTER_BITS 0xc000000000u

static void put_value(struct tmpl_verb *v, const struct tmpl_value *value, int32_t verb,
                      unsigned depth);

/* What lay in the scratch buffer may have been too long: the text is not whole then. */
static void
settle(struct buf *to, struct buf *scratch)
{
    if (buf_error(scratch)) to->failed = err_first(to->failed, buf_error(scratch));
}

void
tmpl_clear_scratch(const struct tmpl_verb *v)
{
    settle(v->to, v->scratch);
    buf_clear(v->scratch);
}

/* --- padding ---------------------------------------------------------------------------------- */

void
tmpl_put_padding(const struct tmpl_verb *v, size_t count)
{
    if (count == 0 || !buf_reserve(v->to, count)) return;
    memset(v->to->at + v->to->size, v->zero && !v->minus ? '0' : ' ', count);
    v->to->size += count;
}

static size_t
count_runes(struct bytes text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; count++) {
        unsigned bytes;
        rune_get(text.at + i, text.size - i, &bytes);
        i += bytes;
    }
    return count;
}

void
tmpl_put_padded(const struct tmpl_verb *v, struct bytes text)
{
    size_t count = v->has_width ? count_runes(text) : 0;
    size_t missing = v->has_width && v->width > count ? v->width - count : 0;
    if (!v->minus) tmpl_put_padding(v, missing);
    buf_put_bytes(v->to, text);
    if (v->minus) tmpl_put_padding(v, missing);
}

static void
put_padded_text(const struct tmpl_verb *v, const char *text)
{
    tmpl_put_padded(v, bytes_of_text(text));
}

/* --- strings ---------------------------------------------------------------------------------- */

static struct bytes
cut_runes(const struct tmpl_verb *v, struct bytes text)
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

/* May it stand between back quotes? */
static bool
is_raw(struct bytes text)
{
    for (size_t i = 0; i < text.size;) {
        unsigned bytes;
        int32_t c = rune_get(text.at + i, text.size - i, &bytes);
        bool bad = c == RUNE_BAD && bytes == 1;
        if (bad || c == 0xfeff || c == '`' || c == 0x7f || (c < ' ' && c != '\t')) return false;
        i += bytes;
    }
    return true;
}

static void
quote_ascii(struct buf *to, struct bytes text)
{
    buf_put_u8(to, '"');
    for (size_t i = 0; i < text.size && buf_error(to) == OK;) {
        unsigned bytes;
        int32_t c = rune_get(text.at + i, text.size - i, &bytes);
        if (c == RUNE_BAD && bytes == 1) {
            buf_printf(to, "\\x%02x", text.at[i]);
        } else if (c >= 0x80) {
            buf_printf(to, c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
        } else {
            size_t begin = to->size;
            quote_text(to, bytes_of(text.at + i, 1));
            if (buf_error(to)) return;
            to->size--; /* without its quotes */
            memmove(to->at + begin, to->at + begin + 1, to->size - begin - 1);
            to->size--;
        }
        i += bytes;
    }
    buf_put_u8(to, '"');
}

static void
put_quoted(struct tmpl_verb *v, struct bytes text)
{
    struct buf quoted; /* the text may lie in the scratch buffer */
    text = cut_runes(v, text);
    buf_init(&quoted, v->to->budget, v->to->limit);
    if (v->sharp && is_raw(text)) {
        buf_put_u8(&quoted, '`');
        buf_put_bytes(&quoted, text);
        buf_put_u8(&quoted, '`');
    } else if (v->plus) {
        quote_ascii(&quoted, text);
    } else {
        quote_text(&quoted, text);
    }
    tmpl_put_padded(v, buf_bytes(&quoted));
    if (buf_error(&quoted)) v->to->failed = err_first(v->to->failed, buf_error(&quoted));
    buf_fini(&quoted);
}

/* Two digits a byte; with the flag for a blank, a blank between two. */
static void
put_hex(struct tmpl_verb *v, struct bytes text, bool capitals)
{
    const char *digits = capitals ? "0123456789ABCDEF" : "0123456789abcdef";
    size_t count = v->has_precision && v->precision < text.size ? v->precision : text.size;
    size_t prefixes = v->sharp ? (v->space ? count : 1) : 0;
    size_t size = count == 0 ? 0 : 2 * count + 2 * prefixes + (v->space ? count - 1 : 0);
    size_t missing = v->has_width && v->width > size ? v->width - size : 0;
    if (!v->minus || count == 0) tmpl_put_padding(v, missing);
    for (size_t i = 0; i < count && buf_error(v->to) == OK; i++) {
        if (v->space && i > 0) buf_put_u8(v->to, ' ');
        if (v->sharp && (v->space || i == 0)) buf_put_text(v->to, capitals ? "0X" : "0x");
        buf_put_u8(v->to, (uint8_t)digits[text.at[i] >> 4]);
        buf_put_u8(v->to, (uint8_t)digits[text.at[i] & 15]);
    }
    if (v->minus && count > 0) tmpl_put_padding(v, missing);
}

static bool
put_string(struct tmpl_verb *v, struct bytes text, int32_t verb)
{
    switch (verb) {
    case 'v':
        if (v->sharp_v)
            put_quoted(v, text);
        else
            tmpl_put_padded(v, cut_runes(v, text));
        return true;
    case 's':
        tmpl_put_padded(v, cut_runes(v, text));
        return true;
    case 'q':
        put_quoted(v, text);
        return true;
    case 'x':
    case 'X':
        put_hex(v, text, verb == 'X');
        return true;
    default:
        return false;
    }
}

static bool
put_bool(struct tmpl_verb *v, bool truth, int32_t verb)
{
    if (verb != 't' && verb != 'v') return false;
    put_padded_text(v, truth ? "true" : "false");
    return true;
}

/* --- mistakes --------------------------------------------------------------------------------- */

static void
put_rune(struct buf *to, int32_t c)
{
    uint8_t text[UTF8_BYTES_MAX];
    buf_put(to, text, utf8_put(text, (uint32_t)c));
}

/* %!d(string=x) */
static void
put_wrong(struct tmpl_verb *v, const struct tmpl_value *value, int32_t verb)
{
    bool wrong = v->wrong;
    v->wrong = true;
    buf_put_text(v->to, "%!");
    put_rune(v->to, verb);
    buf_put_u8(v->to, '(');
    if (value->type == TMPL_INVALID) {
        buf_put_text(v->to, "<nil>");
    } else {
        buf_put_text(v->to, tmpl_type_name(value->type));
        buf_put_u8(v->to, '=');
        put_value(v, value, 'v', 0);
    }
    buf_put_u8(v->to, ')');
    v->wrong = wrong;
}

/* %!d(MISSING) */
static void
put_mistake(struct buf *to, int32_t verb, const char *what)
{
    buf_put_text(to, "%!");
    put_rune(to, verb);
    buf_put_text(to, what);
}

/* --- values ----------------------------------------------------------------------------------- */

/* The text of its method String(), or of GoString(). False: it has none. */
static bool
own_text(const struct tmpl_value *value, bool go, struct buf *to)
{
    const struct tmpl_value pointed = tmpl_pointed_to(*value);
    if (value->is_nil) return false;
    if (value->type == TMPL_TYPE_HISTOGRAM && !go) { /* only by a pointer */
        fhist_print(value->histogram->h, to);
        return true;
    }
    if (go) {
        if (pointed.type != TMPL_TYPE_TIME) return false;
        tmpl_time_print_go(&pointed.time, to);
        return true;
    }
    switch (pointed.type) {
    case TMPL_TYPE_TIME:
        tmpl_time_print(&pointed.time, to);
        return true;
    case TMPL_TYPE_DURATION:
        tmpl_duration_print(pointed.integer, to);
        return true;
    case TMPL_TYPE_MONTH:
        tmpl_month_print(pointed.integer, to);
        return true;
    case TMPL_TYPE_WEEKDAY:
        tmpl_weekday_print(pointed.integer, to);
        return true;
    case TMPL_TYPE_LOCATION:
        buf_put_text(to, pointed.location_is_local ? "Local" : "UTC");
        return true;
    default:
        return false;
    }
}

/* False: it has no method for this verb. */
static bool
put_own_text(struct tmpl_verb *v, const struct tmpl_value *value, int32_t verb)
{
    if (v->wrong) return false;
    tmpl_clear_scratch(v);
    if (v->sharp_v) {
        if (!own_text(value, true, v->scratch)) return false;
        tmpl_put_padded(v, cut_runes(v, buf_bytes(v->scratch)));
        return true;
    }
    if (verb > 0x7f || verb == 0 || strchr("vsxXq", (int)verb) == NULL) return false;
    if (!own_text(value, false, v->scratch)) return false;
    return put_string(v, buf_bytes(v->scratch), verb);
}

static void
put_between(struct tmpl_verb *v, unsigned index)
{
    if (index > 0) buf_put_text(v->to, v->sharp_v ? ", " : " ");
}

static void
put_map(struct tmpl_verb *v, const struct tmpl_value *value, int32_t verb, unsigned depth)
{
    if (v->sharp_v) buf_put_text(v->to, tmpl_type_name(value->type));
    if (v->sharp_v && value->is_nil) {
        buf_put_text(v->to, "(nil)");
        return;
    }
    buf_put_text(v->to, v->sharp_v ? "{" : "map[");
    uint32_t count = value->is_nil ? 0 : value->map->count;
    for (uint32_t i = 0; i < count && buf_error(v->to) == OK; i++) {
        const struct tmpl_entry *e = &value->map->entries[i];
        const struct tmpl_value key = tmpl_of_text(e->key);
        put_between(v, i);
        put_value(v, &key, verb, depth + 1);
        buf_put_u8(v->to, ':');
        put_value(v, &e->value, verb, depth + 1);
    }
    buf_put_text(v->to, v->sharp_v ? "}" : "]");
}

static void
put_struct(struct tmpl_verb *v, const struct tmpl_value *value, int32_t verb, unsigned depth)
{
    const char *name;
    struct tmpl_value field;
    if (v->sharp_v) buf_put_text(v->to, tmpl_type_name(value->type));
    buf_put_u8(v->to, '{');
    for (unsigned i = 0; tmpl_field_at(value, i, &name, &field); i++) {
        put_between(v, i);
        if (v->plus_v || v->sharp_v) {
            buf_put_text(v->to, name);
            buf_put_u8(v->to, ':');
        }
        put_value(v, &field, verb, depth + 1);
    }
    buf_put_u8(v->to, '}');
}

/* Bytes are a text under the verbs of texts, else a list. */
static void
put_bytes(struct tmpl_verb *v, const struct tmpl_value *value, int32_t verb)
{
    bool listed = verb == 'v' || verb == 'd';
    if (!listed && put_string(v, value->text, verb)) return;
    if (v->sharp_v) buf_put_text(v->to, "[]byte");
    if (v->sharp_v && value->is_nil) {
        buf_put_text(v->to, "(nil)");
        return;
    }
    buf_put_u8(v->to, v->sharp_v ? '{' : '[');
    for (size_t i = 0; i < value->text.size && buf_error(v->to) == OK; i++) {
        const struct tmpl_value byte = tmpl_of_integer(TMPL_TYPE_UINT8, value->text.at[i]);
        put_between(v, i > 0);
        if (listed && !v->sharp_v)
            tmpl_put_base(v, value->text.at[i], 10, false, 'd');
        else
            put_value(v, &byte, verb, 1);
    }
    buf_put_u8(v->to, v->sharp_v ? '}' : ']');
}

static void
put_pointer(struct tmpl_verb *v, const struct tmpl_value *value, int32_t verb)
{
    uint64_t bits = value->is_nil ? 0 : POINTER_BITS;
    if (verb == 'v' && v->sharp_v) {
        buf_put_u8(v->to, '(');
        buf_put_text(v->to, tmpl_type_name(value->type));
        buf_put_text(v->to, ")(");
        if (bits == 0)
            buf_put_text(v->to, "nil");
        else
            tmpl_put_0x(v, bits, true);
        buf_put_u8(v->to, ')');
    } else if (verb == 'v' && bits == 0) {
        put_padded_text(v, "<nil>");
    } else if (verb == 'v' || verb == 'p') {
        tmpl_put_0x(v, bits, !v->sharp);
    } else if (verb > 0x7f || verb == 0 || strchr("bodxX", (int)verb) == NULL) {
        put_wrong(v, value, verb);
    } else {
        tmpl_put_integer(v, bits, false, verb);
    }
}

static void
put_slice(struct tmpl_verb *v, const struct tmpl_value *value, int32_t verb, unsigned depth)
{
    if (v->sharp_v) buf_put_text(v->to, tmpl_type_name(value->type));
    if (v->sharp_v && value->is_nil) {
        buf_put_text(v->to, "(nil)");
        return;
    }
    buf_put_u8(v->to, v->sharp_v ? '{' : '[');
    int64_t count = tmpl_length(value);
    for (int64_t i = 0; i < count && buf_error(v->to) == OK; i++) {
        const struct tmpl_value element = tmpl_element(value, i);
        put_between(v, i > 0);
        put_value(v, &element, verb, depth + 1);
    }
    buf_put_u8(v->to, v->sharp_v ? '}' : ']');
}

/* At the top the struct that is pointed to is shown; deeper, the address. */
static void
put_pointed(struct tmpl_verb *v, const struct tmpl_value *value, int32_t verb, unsigned depth)
{
    const struct tmpl_value pointed = tmpl_pointed_to(*value);
    bool is_struct = pointed.type == TMPL_TYPE_SAMPLE_STRUCT || pointed.type == TMPL_TYPE_TIME ||
                     pointed.type == TMPL_TYPE_HISTOGRAM_STRUCT;
    if (depth > 0 || value->is_nil || !is_struct) {
        put_pointer(v, value, verb);
        return;
    }
    buf_put_u8(v->to, '&');
    put_value(v, &pointed, verb, depth + 1);
}

static void
put_nil(struct tmpl_verb *v, const struct tmpl_value *value, int32_t verb, unsigned depth)
{
    if (verb != 'v' && (depth == 0 || !value->is_interface))
        put_wrong(v, value, verb);
    else if (depth == 0)
        put_padded_text(v, "<nil>");
    else
        buf_put_text(v->to, v->sharp_v ? "interface {}(nil)" : "<nil>");
}

static void
put_value(struct tmpl_verb *v, const struct tmpl_value *value, int32_t verb, unsigned depth)
{
    bool put = true;
    if (buf_error(v->to)) return;
    if (put_own_text(v, value, verb)) return;
    switch (value->type) {
    case TMPL_INVALID:
        put_nil(v, value, verb, depth);
        break;
    case TMPL_TYPE_BOOL:
        put = put_bool(v, value->truth, verb);
        break;
    case TMPL_TYPE_INT:
    case TMPL_TYPE_INT32:
    case TMPL_TYPE_INT64:
    case TMPL_TYPE_MONTH:
    case TMPL_TYPE_WEEKDAY:
    case TMPL_TYPE_DURATION:
        put = tmpl_put_integer(v, (uint64_t)value->integer, true, verb);
        break;
    case TMPL_TYPE_UINT8:
    case TMPL_TYPE_UINT32:
    case TMPL_TYPE_UINT64:
    case TMPL_TYPE_HINT:
        put = tmpl_put_integer(v, (uint64_t)value->integer, false, verb);
        break;
    case TMPL_TYPE_FLOAT:
        put = tmpl_put_float(v, value->number, verb);
        break;
    case TMPL_TYPE_STRING:
    case TMPL_TYPE_HTML:
        put = put_string(v, value->text, verb);
        break;
    case TMPL_TYPE_BYTES:
        put_bytes(v, value, verb);
        break;
    case TMPL_TYPE_LABELS:
    case TMPL_TYPE_ARGS:
        put_map(v, value, verb, depth);
        break;
    case TMPL_TYPE_RESULT:
    case TMPL_TYPE_FLOATS:
    case TMPL_TYPE_SPANS:
        put_slice(v, value, verb, depth);
        break;
    case TMPL_TYPE_DATA:
    case TMPL_TYPE_SAMPLE_STRUCT:
    case TMPL_TYPE_HISTOGRAM_STRUCT:
    case TMPL_TYPE_SPAN:
    case TMPL_TYPE_TIME:
        put_struct(v, value, verb, depth);
        break;
    case TMPL_TYPE_SAMPLE:
    case TMPL_TYPE_HISTOGRAM:
    case TMPL_TYPE_TIME_POINTER:
    case TMPL_TYPE_DURATION_POINTER:
    case TMPL_TYPE_LOCATION:
        put_pointed(v, value, verb, depth);
        break;
    case TMPL_TYPE_ANY:
    case TMPL_TYPE_REFLECT:
        break; /* no value has these types */
    }
    if (!put) put_wrong(v, value, verb);
}

/* --- formats ---------------------------------------------------------------------------------- */

struct format {
    struct bytes text;
    size_t at;
    const struct tmpl_value *args;
    uint32_t count;
    uint32_t next;  /* argument */
    bool reordered; /* some were named by index */
    bool good_index;
    bool after_index; /* a width or a verb may not stand between it and its index */
    struct tmpl_verb verb;
};

static int32_t
peek(const struct format *f)
{
    return f->at < f->text.size ? f->text.at[f->at] : RUNE_NONE;
}

/* Digits, at most NUMBER_MAX. False: there are none, or they are too many. */
static bool
take_digits(struct format *f, uint32_t *ret)
{
    uint32_t v = 0;
    bool any = false;
    while (f->at < f->text.size && ascii_is_digit(f->text.at[f->at])) {
        if (v > NUMBER_MAX) return false; /* Go stops there, too */
        v = v * 10 + (uint32_t)(f->text.at[f->at++] - '0');
        any = true;
    }
    *ret = v;
    return any;
}

/* [3] */
static void
take_index(struct format *f)
{
    if (peek(f) != '[') return;
    f->reordered = true;
    const uint8_t *from = f->text.at + f->at, *close = memchr(from, ']', f->text.size - f->at);
    if (close == NULL || f->text.size - f->at < 3) { /* so short Go does not look for it */
        f->good_index = false;
        f->at++;
        return;
    }
    uint32_t index;
    size_t end = (size_t)(close - f->text.at);
    f->at++;
    bool digits = take_digits(f, &index) && f->at == end;
    f->at = end + 1;
    if (digits && index >= 1 && index <= f->count) {
        f->next = index - 1;
        f->after_index = true;
        return;
    }
    f->good_index = false;
    f->after_index = digits; /* so that what follows is not read as another */
}

/* A width or a precision that is an argument. False: it is none. */
static bool
take_argument(struct format *f, int64_t *ret)
{
    if (f->next >= f->count) return false;
    const struct tmpl_value *v = &f->args[f->next++];
    if (!tmpl_is_integer(v->type) && !tmpl_is_unsigned(v->type)) return false;
    if (v->integer > NUMBER_MAX || v->integer < -NUMBER_MAX) return false;
    *ret = v->integer;
    return true;
}

static void
take_flags(struct format *f)
{
    for (;; f->at++) {
        switch (peek(f)) {
        case '#':
            f->verb.sharp = true;
            break;
        case '0':
            f->verb.zero = true;
            break;
        case '+':
            f->verb.plus = true;
            break;
        case '-':
            f->verb.minus = true;
            break;
        case ' ':
            f->verb.space = true;
            break;
        default:
            return;
        }
    }
}

static void
take_width(struct format *f)
{
    struct tmpl_verb *v = &f->verb;
    int64_t given;
    if (peek(f) == '*') {
        f->at++;
        v->has_width = take_argument(f, &given);
        if (!v->has_width) {
            buf_put_text(v->to, "%!(BADWIDTH)");
        } else {
            if (given < 0) v->minus = true;
            if (given < 0) v->zero = false;
            v->width = (uint32_t)(given < 0 ? -given : given);
        }
        f->after_index = false;
        return;
    }
    v->has_width = take_digits(f, &v->width);
    if (!v->has_width) v->width = 0;
    if (f->after_index && v->has_width) f->good_index = false; /* %[3]2d */
}

static void
take_precision(struct format *f)
{
    struct tmpl_verb *v = &f->verb;
    int64_t given;
    if (peek(f) != '.' || f->at + 1 == f->text.size) return;
    f->at++;
    if (f->after_index) f->good_index = false; /* %[3].2d */
    f->after_index = false;
    take_index(f);
    if (peek(f) == '*') {
        f->at++;
        bool is_number = take_argument(f, &given);
        v->has_precision = is_number && given >= 0;
        v->precision = v->has_precision ? (uint32_t)given : 0;
        if (!v->has_precision) buf_put_text(v->to, "%!(BADPREC)");
        f->after_index = false;
        return;
    }
    if (!take_digits(f, &v->precision)) v->precision = 0;
    v->has_precision = true;
}

static void
put_argument(struct format *f, int32_t verb)
{
    struct tmpl_verb *v = &f->verb;
    const struct tmpl_value *arg = &f->args[f->next++];
    if (verb == 'v') {
        v->sharp_v = v->sharp;
        v->plus_v = v->plus;
        v->sharp = v->plus = false;
    }
    if (verb == 'T' && arg->type == TMPL_INVALID)
        put_padded_text(v, "<nil>");
    else if (verb == 'T')
        put_string(v, bytes_of_text(tmpl_type_name(arg->type)), 's');
    else if (verb == 'p' &&
             (tmpl_is_pointer(arg->type) || tmpl_is_map(arg->type) || tmpl_is_slice(arg->type)))
        put_pointer(v, arg, verb);
    else if (verb == 'p')
        put_wrong(v, arg, verb);
    else
        put_value(v, arg, verb, 0);
}

/* After the percent sign. */
static void
put_directive(struct format *f)
{
    struct buf *to = f->verb.to, *scratch = f->verb.scratch;
    f->verb = (struct tmpl_verb){.to = to, .scratch = scratch};
    f->good_index = true;
    f->after_index = false;
    take_flags(f);
    take_index(f);
    take_width(f);
    take_precision(f);
    if (!f->after_index) take_index(f);
    if (f->at >= f->text.size) {
        buf_put_text(to, "%!(NOVERB)");
        return;
    }
    unsigned bytes;
    int32_t verb = rune_get(f->text.at + f->at, f->text.size - f->at, &bytes);
    f->at += bytes;
    if (verb == '%')
        buf_put_u8(to, '%');
    else if (!f->good_index)
        put_mistake(to, verb, "(BADINDEX)");
    else if (f->next >= f->count)
        put_mistake(to, verb, "(MISSING)");
    else
        put_argument(f, verb);
}

static void
put_extra(struct format *f)
{
    struct buf *to = f->verb.to, *scratch = f->verb.scratch;
    buf_put_text(to, "%!(EXTRA ");
    for (uint32_t i = f->next; i < f->count && buf_error(to) == OK; i++) {
        const struct tmpl_value *arg = &f->args[i];
        f->verb = (struct tmpl_verb){.to = to, .scratch = scratch};
        if (i > f->next) buf_put_text(to, ", ");
        if (arg->type == TMPL_INVALID) {
            buf_put_text(to, "<nil>");
            continue;
        }
        buf_put_text(to, tmpl_type_name(arg->type));
        buf_put_u8(to, '=');
        put_value(&f->verb, arg, 'v', 0);
    }
    buf_put_u8(to, ')');
}

void
tmpl_printf(struct bytes format, const struct tmpl_value *args, uint32_t count, struct buf *to,
            struct buf *scratch)
{
    struct format f = {.text = format, .args = args, .count = count};
    f.verb.to = to;
    f.verb.scratch = scratch;
    while (f.at < format.size && buf_error(to) == OK) {
        const uint8_t *from = format.at + f.at, *found = memchr(from, '%', format.size - f.at);
        size_t end = found == NULL ? format.size : (size_t)(found - format.at);
        buf_put(to, from, end - f.at);
        f.at = end;
        if (found == NULL) break;
        f.at++;
        buf_clear(scratch);
        put_directive(&f);
        settle(to, scratch);
    }
    if (!f.reordered && f.next < count) put_extra(&f);
    settle(to, scratch);
}

static void
put_plain(const struct tmpl_value *value, struct buf *to, struct buf *scratch)
{
    struct tmpl_verb v = {.to = to, .scratch = scratch};
    buf_clear(scratch);
    put_value(&v, value, 'v', 0);
    settle(to, scratch);
}

void
tmpl_print(const struct tmpl_value *args, uint32_t count, struct buf *to, struct buf *scratch)
{
    for (uint32_t i = 0; i < count && buf_error(to) == OK; i++) {
        bool apart = i > 0 && !tmpl_is_string(args[i].type) && !tmpl_is_string(args[i - 1].type);
        if (apart) buf_put_u8(to, ' ');
        put_plain(&args[i], to, scratch);
    }
}

void
tmpl_println(const struct tmpl_value *args, uint32_t count, struct buf *to, struct buf *scratch)
{
    for (uint32_t i = 0; i < count && buf_error(to) == OK; i++) {
        if (i > 0) buf_put_u8(to, ' ');
        put_plain(&args[i], to, scratch);
    }
    buf_put_u8(to, '\n');
}

void
tmpl_print_reflected(const struct tmpl_value *value, char verb, struct buf *to, struct buf *scratch)
{
    struct tmpl_verb v = {.to = to, .scratch = scratch};
    buf_clear(scratch);
    put_value(&v, value, verb, 0);
    settle(to, scratch);
}

struct tmpl_value
tmpl_printable(struct tmpl_value v)
{
    if (v.type == TMPL_INVALID && !v.is_interface) return tmpl_of_text(bytes_of_text("<no value>"));
    return v.type == TMPL_TYPE_HISTOGRAM ? v : tmpl_pointed_to(v); /* its method is the pointer's */
}
