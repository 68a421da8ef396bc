/*
 * builtins.c - functions that Go itself gives to templates: see run.h.
 *
 * `and` and `or` are only named here: execute.c executes them.
 */
#include "base/text/hex.h"
#include "base/text/quote.h"
#include "base/text/utf8.h"
#include "template/run.h"

/* --- logic and length ------------------------------------------------------------------------- */

static TMPL_FUNCTION(not_function)
{
    *ret = tmpl_of_bool(!tmpl_is_true(&args[0]));
    return true;
}

static TMPL_FUNCTION(len)
{
    int64_t length = tmpl_length(&args[0]);
    if (length < 0) return run_fail(run, "len of type %s", tmpl_type_name(args[0].type));
    *ret = tmpl_of_integer(TMPL_TYPE_INT, length);
    return true;
}

/* --- comparing -------------------------------------------------------------------------------- */

static bool
fail_incompatible(struct tmpl_run *run, const struct tmpl_value *a, const struct tmpl_value *b)
{
    return run_fail(run, "incompatible types for comparison: %s and %s", tmpl_type_name(a->type),
                    tmpl_type_name(b->type));
}

/* Compares durations as integers; nil equals nil alone. */
static bool
equal(struct tmpl_run *run, const struct tmpl_value *a, const struct tmpl_value *b, bool *ret)
{
    *ret = false;
    if (tmpl_is_integer(a->type) && tmpl_is_integer(b->type)) {
        *ret = a->integer == b->integer;
        return true;
    }
    if (a->type != b->type) {
        if (a->type == TMPL_TYPE_NIL || b->type == TMPL_TYPE_NIL) return true;
        return fail_incompatible(run, a, b);
    }
    switch (a->type) {
    case TMPL_TYPE_NIL:
        *ret = true;
        return true;
    case TMPL_TYPE_BOOL:
        *ret = a->truth == b->truth;
        return true;
    case TMPL_TYPE_FLOAT:
        *ret = a->number == b->number;
        return true;
    case TMPL_TYPE_TIME:
        *ret = a->integer == b->integer;
        return true;
    case TMPL_TYPE_STRING:
        *ret = bytes_equal(a->text, b->text);
        return run_spend(run, a->text.size);
    default:
        return run_fail(run, "values of type %s cannot be compared", tmpl_type_name(a->type));
    }
}

static bool
is_basic(enum tmpl_type type)
{
    return (type >= TMPL_TYPE_BOOL && type <= TMPL_TYPE_STRING) || type == TMPL_TYPE_DURATION;
}

static bool
less(struct tmpl_run *run, const struct tmpl_value *a, const struct tmpl_value *b, bool *ret)
{
    bool integers = tmpl_is_integer(a->type) && tmpl_is_integer(b->type);
    bool floats = a->type == TMPL_TYPE_FLOAT && b->type == TMPL_TYPE_FLOAT;
    bool texts = a->type == TMPL_TYPE_STRING && b->type == TMPL_TYPE_STRING;
    if (!integers && !floats && !texts) {
        bool ordered = is_basic(a->type) && is_basic(b->type) && a->type != b->type;
        return ordered ? fail_incompatible(run, a, b)
                       : run_fail(run, "invalid type for comparison");
    }
    if (integers)
        *ret = a->integer < b->integer;
    else if (floats)
        *ret = a->number < b->number;
    else
        *ret = bytes_compare(a->text, b->text) < 0;
    return run_spend(run, texts ? a->text.size : 0);
}

enum { ORDER_OR_EQUAL = 1, ORDER_NOT = 2 };

/* eq and ne: compares the first argument with any of the others. */
static TMPL_FUNCTION(equality)
{
    bool is_equal = false;
    if (count < 2) return run_fail(run, "missing argument for comparison");
    for (uint32_t i = 1; i < count && !is_equal; i++)
        if (!equal(run, &args[0], &args[i], &is_equal)) return false;
    *ret = tmpl_of_bool(is_equal != (way == ORDER_NOT));
    return true;
}

/* lt, le, gt and ge. NaN is greater than everything, since it is neither less nor equal. */
static TMPL_FUNCTION(order)
{
    bool holds = false;
    if (!less(run, &args[0], &args[1], &holds)) return false;
    if ((way & ORDER_OR_EQUAL) != 0 && !holds && !equal(run, &args[0], &args[1], &holds))
        return false;
    *ret = tmpl_of_bool(holds != ((way & ORDER_NOT) != 0));
    return true;
}

/* --- parts ------------------------------------------------------------------------------------ */

/* Reads an index from 0 to `most`. */
static bool
read_index(struct tmpl_run *run, const struct tmpl_value *v, int64_t most, int64_t *ret)
{
    if (!tmpl_is_integer(v->type))
        return run_fail(run, "cannot index slice/array with type %s", tmpl_type_name(v->type));
    if (v->integer < 0 || v->integer > most)
        return run_fail(run, "index out of range: %lld", (long long)v->integer);
    *ret = v->integer;
    return true;
}

static TMPL_FUNCTION(index_function)
{
    struct tmpl_value item = args[0];
    for (uint32_t i = 1; i < count; i++) {
        int64_t at = 0, length = tmpl_length(&item);
        if (length < 0)
            return run_fail(run, "can't index item of type %s", tmpl_type_name(item.type));
        if (tmpl_is_map(item.type)) {
            if (args[i].type != TMPL_TYPE_STRING) {
                return run_fail(run, "value has type %s; should be string",
                                tmpl_type_name(args[i].type));
            }
            item = tmpl_map_get(&item, args[i].text);
        } else {
            if (!read_index(run, &args[i], length - 1, &at)) return false;
            item = tmpl_element(&item, at);
        }
    }
    *ret = item;
    return true;
}

static TMPL_FUNCTION(slice)
{
    int64_t length = tmpl_length(&args[0]), at[2] = {0, length};
    if (length < 0 || tmpl_is_map(args[0].type))
        return run_fail(run, "can't slice item of type %s", tmpl_type_name(args[0].type));
    if (count > 3) return run_fail(run, "too many slice indexes: %u", count - 1);
    for (uint32_t i = 1; i < count; i++)
        if (!read_index(run, &args[i], length, &at[i - 1])) return false;
    if (at[0] > at[1]) {
        return run_fail(run, "invalid slice index: %lld > %lld", (long long)at[0],
                        (long long)at[1]);
    }
    *ret = args[0];
    if (length == 0) return true;
    if (args[0].type == TMPL_TYPE_STRING) {
        ret->text = bytes_of(args[0].text.at + at[0], (size_t)(at[1] - at[0]));
    } else {
        ret->result.samples += at[0];
        ret->result.count = (uint32_t)(at[1] - at[0]);
    }
    return true;
}

/* --- printing --------------------------------------------------------------------------------- */

enum { PRINT_LINE = 1 };

static TMPL_FUNCTION(print)
{
    buf_clear(&run->text);
    run_print(run, args, count, way == PRINT_LINE, &run->text);
    if (way == PRINT_LINE) buf_put_u8(&run->text, '\n');
    return run_take_text(run, ret);
}

static TMPL_FUNCTION(print_format)
{
    buf_clear(&run->text);
    return run_printf(run, args[0].text, args + 1, count - 1) && run_take_text(run, ret);
}

static void
tmpl_escape_html(struct bytes text, struct buf *to)
{
    static const struct {
        char from;
        const char *to;
    } words[] = {{'\0', UTF8_REPLACEMENT}, {'"', "&#34;"}, {'\'', "&#39;"},
                 {'&', "&amp;"},           {'<', "&lt;"},  {'>', "&gt;"}};
    enum { WORDS = sizeof words / sizeof *words };
    for (size_t i = 0; i < text.size && buf_error(to) == OK; i++) {
        unsigned k = 0;
        while (k < WORDS && text.at[i] != words[k].from)
            k++;
        if (k < WORDS)
            buf_put_text(to, words[k].to);
        else
            buf_put_u8(to, text.at[i]);
    }
}

static void
tmpl_escape_js(struct bytes text, struct buf *to)
{
    for (size_t i = 0; i < text.size && buf_error(to) == OK;) {
        unsigned bytes;
        int32_t c = rune_get(text.at + i, text.size - i, &bytes);
        if (c == '\\' || c == '\'' || c == '"') {
            buf_put_u8(to, '\\');
            buf_put_u8(to, (uint8_t)c);
        } else if (c < ' ' || (c < 0x80 && strchr("<>&=", (int)c) != NULL) ||
                   (c >= 0x80 && !rune_is_printable(c))) {
            buf_printf(to, "\\u%04X", (unsigned)c);
        } else {
            buf_put(to, text.at + i, bytes);
        }
        i += bytes;
    }
}

void
tmpl_escape_query(struct bytes text, struct buf *to)
{
    for (size_t i = 0; i < text.size && buf_error(to) == OK; i++)
        if (text.at[i] == ' ')
            buf_put_u8(to, '+');
        else
            buf_put_percent(to, bytes_of(text.at + i, 1), "");
}

enum { ESCAPE_HTML, ESCAPE_JS, ESCAPE_QUERY };

/* Escapes the arguments as actions print them. */
static TMPL_FUNCTION(escape)
{
    static void (*const escapes[])(struct bytes text,
                                   struct buf * to) = {[ESCAPE_HTML] = tmpl_escape_html,
                                                       [ESCAPE_JS] = tmpl_escape_js,
                                                       [ESCAPE_QUERY] = tmpl_escape_query};
    struct tmpl_value *shown = arena_alloc(&run->arena, (count + 1) * sizeof *shown);
    if (shown == NULL) return run_no_memory(run);
    for (uint32_t i = 0; i < count; i++)
        shown[i] = tmpl_printable(args[i]);
    buf_clear(&run->text);
    run_print(run, shown, count, false, &run->text);
    struct tmpl_value plain;
    if (!run_take_text(run, &plain)) return false;
    buf_clear(&run->text);
    escapes[way](plain.text, &run->text);
    return run_take_text(run, ret);
}

/* Fails, since no value is a function. */
static TMPL_FUNCTION(call_function)
{
    return run_fail(run, "non-function of type %s", tmpl_type_name(args[0].type));
}

/* --- the table -------------------------------------------------------------------------------- */

#define ANY    TMPL_TYPE_ANY
#define STRING TMPL_TYPE_STRING

const struct tmpl_function *
tmpl_builtin_find(struct bytes name)
{
    static const struct tmpl_function builtins[] = {
        {.name = "and", .count = 2, .is_variadic = true, .parameters = {ANY, ANY}},
        {"call", call_function, 2, true, {ANY, ANY}},
        {"eq", equality, 2, true, {ANY, ANY}},
        {"ge", order, 2, false, {ANY, ANY}, ORDER_NOT},
        {"gt", order, 2, false, {ANY, ANY}, ORDER_OR_EQUAL | ORDER_NOT},
        {"html", escape, 1, true, {ANY}, ESCAPE_HTML},
        {"index", index_function, 2, true, {ANY, ANY}},
        {"js", escape, 1, true, {ANY}, ESCAPE_JS},
        {"le", order, 2, false, {ANY, ANY}, ORDER_OR_EQUAL},
        {"len", len, 1, false, {ANY}},
        {"lt", order, 2, false, {ANY, ANY}},
        {"ne", equality, 2, false, {ANY, ANY}, ORDER_NOT},
        {"not", not_function, 1, false, {ANY}},
        {.name = "or", .count = 2, .is_variadic = true, .parameters = {ANY, ANY}},
        {"print", print, 1, true, {ANY}},
        {"printf", print_format, 2, true, {STRING, ANY}},
        {"println", print, 1, true, {ANY}, PRINT_LINE},
        {"slice", slice, 2, true, {ANY, ANY}},
        {"urlquery", escape, 1, true, {ANY}, ESCAPE_QUERY},
    };
    return tmpl_find_in(builtins, sizeof builtins / sizeof *builtins, name);
}
