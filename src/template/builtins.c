/*
 * builtins.c - the functions that Go itself gives to templates: see run.h.
 *
 * `and`, `or` and `call` are only named here: evaluate.c executes them.
 */
#include "template/escape.h"
#include "template/run.h"
#include "template/verbs.h"

/* --- logic and length ------------------------------------------------------------------------- */

static TMPL_FUNCTION(not_function)
{
    *ret = tmpl_of_bool(!tmpl_is_true(&args[0]));
    return true;
}

static TMPL_FUNCTION(len)
{
    const struct tmpl_value v = tmpl_pointed_to(tmpl_concrete(args[0]));
    int64_t length = tmpl_length(&v);
    if (v.type == TMPL_INVALID && args[0].is_interface) return run_fail(run, "len of nil pointer");
    if (v.type == TMPL_INVALID) {
        return run_fail(run, "reflect: call of reflect.Value.Type on zero Value");
    }
    if (length < 0) return run_fail(run, "len of type %s", tmpl_type_name(v.type));
    *ret = tmpl_of_integer(TMPL_TYPE_INT, length);
    return true;
}

/* --- comparing -------------------------------------------------------------------------------- */

enum basic { BASIC_NONE, BASIC_BOOL, BASIC_FLOAT, BASIC_INT, BASIC_STRING, BASIC_UINT };

static enum basic
basic_of(const struct tmpl_value *v)
{
    if (v->type == TMPL_TYPE_BOOL) return BASIC_BOOL;
    if (v->type == TMPL_TYPE_FLOAT) return BASIC_FLOAT;
    if (tmpl_is_integer(v->type)) return BASIC_INT;
    if (tmpl_is_unsigned(v->type)) return BASIC_UINT;
    return tmpl_is_string(v->type) ? BASIC_STRING : BASIC_NONE;
}

static bool
are_integers(enum basic a, enum basic b)
{
    return (a == BASIC_INT || a == BASIC_UINT) && (b == BASIC_INT || b == BASIC_UINT);
}

static bool
fail_incompatible(struct tmpl_run *run, const struct tmpl_value *a, const struct tmpl_value *b)
{
    return run_fail(run, "incompatible types for comparison: %s and %s", tmpl_type_name(a->type),
                    tmpl_type_name(b->type));
}

/* Which of Go's kinds it has, of those that are not basic. */
static unsigned
kind_of(const struct tmpl_value *v)
{
    if (v->type == TMPL_INVALID) return 0;
    if (tmpl_is_map(v->type)) return 1;
    if (tmpl_is_slice(v->type)) return 2;
    return tmpl_is_pointer(v->type) ? 3 : 4;
}

static struct bytes
text_of(struct tmpl_run *run, const struct tmpl_value *v, char verb)
{
    buf_clear(&run->text);
    tmpl_print_reflected(v, verb, &run->text, &run->scratch);
    run_note_memory(run, &run->text);
    return run_copy(run, buf_bytes(&run->text));
}

static bool
fail_kinds(struct tmpl_run *run, const struct tmpl_value *a, const struct tmpl_value *b)
{
    struct bytes first = text_of(run, a, 's'), second = text_of(run, b, 'v');
    if (run->failed) return false;
    return run_fail(run, "non-comparable types %.*s: %s, %s: %.*s", (int)first.size,
                    (const char *)first.at, tmpl_type_name(a->type), tmpl_type_name(b->type),
                    (int)second.size, (const char *)second.at);
}

/* The same pointer, or structs whose fields are equal. */
static bool
is_same(const struct tmpl_value *a, const struct tmpl_value *b)
{
    if (a->type != b->type) return false;
    switch (a->type) {
    case TMPL_TYPE_SAMPLE:
        return a->sample == b->sample;
    case TMPL_TYPE_HISTOGRAM:
        return a->histogram == b->histogram;
    case TMPL_TYPE_SPAN:
        return a->span.offset == b->span.offset && a->span.length == b->span.length;
    case TMPL_TYPE_TIME_POINTER:
        return a->time_at == b->time_at;
    case TMPL_TYPE_DURATION_POINTER:
        return a->duration_at == b->duration_at;
    case TMPL_TYPE_LOCATION:
        return a->location_is_local == b->location_is_local;
    default:
        return a->time.seconds == b->time.seconds && a->time.nanos == b->time.nanos &&
               a->time.is_local == b->time.is_local;
    }
}

static bool
equal_others(struct tmpl_run *run, const struct tmpl_value *a, const struct tmpl_value *b,
             bool *ret)
{
    bool a_nil = a->type == TMPL_INVALID || a->is_nil, b_nil = b->type == TMPL_INVALID || b->is_nil;
    unsigned a_kind = kind_of(a), b_kind = kind_of(b);
    if (a_kind != b_kind && a_kind != 0 && b_kind != 0) return fail_kinds(run, a, b);
    if (a_nil || b_nil) {
        *ret = a_nil == b_nil;
        return true;
    }
    if (b_kind == 1 || b_kind == 2 || b->type == TMPL_TYPE_DATA) {
        struct bytes text = text_of(run, b, 's');
        if (run->failed) return false;
        return run_fail(run, "non-comparable type %.*s: %s", (int)text.size, (const char *)text.at,
                        tmpl_type_name(b->type));
    }
    *ret = is_same(a, b);
    return true;
}

static bool
equal(struct tmpl_run *run, const struct tmpl_value *a, const struct tmpl_value *b, bool *ret)
{
    enum basic first = basic_of(a), second = basic_of(b);
    *ret = false;
    if (are_integers(first, second)) {
        *ret = a->integer == b->integer; /* no unsigned one here is beyond int64 */
        return true;
    }
    if (first != second) {
        if (a->type == TMPL_INVALID || b->type == TMPL_INVALID) return true;
        return fail_incompatible(run, a, b);
    }
    switch (first) {
    case BASIC_BOOL:
        *ret = a->truth == b->truth;
        return true;
    case BASIC_FLOAT:
        *ret = a->number == b->number;
        return true;
    case BASIC_STRING:
        *ret = bytes_equal(a->text, b->text);
        return run_spend(run, a->text.size);
    default:
        return equal_others(run, a, b, ret);
    }
}

static bool
less(struct tmpl_run *run, const struct tmpl_value *a, const struct tmpl_value *b, bool *ret)
{
    enum basic first = basic_of(a), second = basic_of(b);
    if (first == BASIC_NONE || second == BASIC_NONE) {
        return run_fail(run, "invalid type for comparison");
    }
    if (are_integers(first, second)) {
        *ret = a->integer < b->integer;
        return true;
    }
    if (first != second) return fail_incompatible(run, a, b);
    if (first == BASIC_BOOL) return run_fail(run, "invalid type for comparison");
    if (first == BASIC_FLOAT)
        *ret = a->number < b->number;
    else
        *ret = bytes_compare(a->text, b->text) < 0;
    return run_spend(run, first == BASIC_STRING ? a->text.size : 0);
}

/* The first and any of the others. */
static TMPL_FUNCTION(eq)
{
    const struct tmpl_value first = tmpl_concrete(args[0]);
    bool is_equal = false;
    if (count < 2) return run_fail(run, "missing argument for comparison");
    for (uint32_t i = 1; i < count && !is_equal; i++) {
        const struct tmpl_value other = tmpl_concrete(args[i]);
        if (!equal(run, &first, &other, &is_equal)) return false;
    }
    *ret = tmpl_of_bool(is_equal);
    return true;
}

static TMPL_FUNCTION(ne)
{
    if (!eq(run, args, count, ret)) return false;
    ret->truth = !ret->truth;
    return true;
}

static TMPL_FUNCTION(lt)
{
    const struct tmpl_value a = tmpl_concrete(args[0]), b = tmpl_concrete(args[1]);
    bool is_less = false;
    if (!less(run, &a, &b, &is_less)) return false;
    *ret = tmpl_of_bool(is_less);
    return true;
}

static TMPL_FUNCTION(le)
{
    return lt(run, args, count, ret) && (ret->truth || eq(run, args, count, ret));
}

/* NaN is greater than everything: it is not less or equal. */
static TMPL_FUNCTION(gt)
{
    if (!le(run, args, count, ret)) return false;
    ret->truth = !ret->truth;
    return true;
}

static TMPL_FUNCTION(ge)
{
    if (!lt(run, args, count, ret)) return false;
    ret->truth = !ret->truth;
    return true;
}

/* --- parts ------------------------------------------------------------------------------------ */

/* At most `most`, which may be just beyond the end. */
static bool
read_index(struct tmpl_run *run, const struct tmpl_value *v, int64_t most, int64_t *ret)
{
    if (v->type == TMPL_INVALID) return run_fail(run, "cannot index slice/array with nil");
    if (!tmpl_is_integer(v->type) && !tmpl_is_unsigned(v->type)) {
        return run_fail(run, "cannot index slice/array with type %s", tmpl_type_name(v->type));
    }
    if (v->integer < 0 || v->integer > most) {
        return run_fail(run, "index out of range: %lld", (long long)v->integer);
    }
    *ret = v->integer;
    return true;
}

static bool
index_list(struct tmpl_run *run, const struct tmpl_value *item, const struct tmpl_value *index,
           struct tmpl_value *ret)
{
    int64_t i, length = tmpl_length(item);
    if (!read_index(run, index, length, &i)) return false;
    if (i == length) {
        const char *kind = tmpl_is_string(item->type) ? "string" : "slice";
        return run_fail(run, "reflect: %s index out of range", kind);
    }
    *ret = tmpl_is_slice(item->type) ? tmpl_element(item, i)
                                     : tmpl_of_integer(TMPL_TYPE_UINT8, item->text.at[i]);
    return true;
}

static bool
index_map(struct tmpl_run *run, const struct tmpl_value *item, const struct tmpl_value *key,
          struct tmpl_value *ret)
{
    if (key->type == TMPL_INVALID) return run_fail(run, "value is nil; should be of type string");
    if (key->type != TMPL_TYPE_STRING) {
        return run_fail(run, "value has type %s; should be string", tmpl_type_name(key->type));
    }
    const struct tmpl_value *found = tmpl_map_find(item->map, key->text);
    *ret = found != NULL ? *found : tmpl_map_zero(item->type);
    return true;
}

static TMPL_FUNCTION(index_function)
{
    struct tmpl_value item = tmpl_concrete(args[0]);
    if (item.type == TMPL_INVALID) return run_fail(run, "index of untyped nil");
    for (uint32_t i = 1; i < count; i++) {
        const struct tmpl_value of = tmpl_pointed_to(tmpl_concrete(item));
        const struct tmpl_value index = tmpl_concrete(args[i]);
        if (of.type == TMPL_INVALID) return run_fail(run, "index of nil pointer");
        if (tmpl_is_map(of.type)) {
            if (!index_map(run, &of, &index, &item)) return false;
        } else if (tmpl_length(&of) >= 0) {
            if (!index_list(run, &of, &index, &item)) return false;
        } else {
            return run_fail(run, "can't index item of type %s", tmpl_type_name(of.type));
        }
    }
    *ret = item;
    return true;
}

static TMPL_FUNCTION(slice)
{
    struct tmpl_value item = tmpl_pointed_to(tmpl_concrete(args[0]));
    int64_t at[3] = {0, tmpl_length(&item), 0};
    bool is_text = tmpl_is_string(item.type), is_result = item.type == TMPL_TYPE_RESULT;
    if (item.type == TMPL_INVALID) return run_fail(run, "slice of untyped nil");
    if (count > 4) return run_fail(run, "too many slice indexes: %u", count - 1);
    if (is_text && count == 4) return run_fail(run, "cannot 3-index slice a string");
    if (!is_text && !tmpl_is_slice(item.type)) {
        return run_fail(run, "can't slice item of type %s", tmpl_type_name(item.type));
    }
    int64_t most = is_result ? item.result.capacity : at[1];
    for (uint32_t i = 1; i < count; i++) {
        if (args[i].is_interface) { /* which Go does not look into here */
            return run_fail(run, "cannot index slice/array with type interface {}");
        }
        if (!read_index(run, &args[i], most, &at[i - 1])) return false;
    }
    if (count < 4) at[2] = most;
    for (unsigned i = 0; i < 2; i++) {
        if (at[i] <= at[i + 1]) continue;
        return run_fail(run, "invalid slice index: %lld > %lld", (long long)at[i],
                        (long long)at[i + 1]);
    }
    if (is_result) {
        if (item.result.samples != NULL) item.result.samples += at[0];
        item.result.count = (uint32_t)(at[1] - at[0]);
        item.result.capacity = (uint32_t)(at[2] - at[0]);
    } else if (item.type == TMPL_TYPE_FLOATS) {
        if (item.floats.at != NULL) item.floats.at += at[0];
        item.floats.count = (uint32_t)(at[1] - at[0]);
    } else if (item.type == TMPL_TYPE_SPANS) {
        if (item.spans.at != NULL) item.spans.at += at[0];
        item.spans.count = (uint32_t)(at[1] - at[0]);
    } else if (item.text.size > 0) {
        item.text = bytes_of(item.text.at + at[0], (size_t)(at[1] - at[0]));
    }
    *ret = item;
    return true;
}

/* --- printing --------------------------------------------------------------------------------- */

static TMPL_FUNCTION(print)
{
    buf_clear(&run->text);
    tmpl_print(args, count, &run->text, &run->scratch);
    return run_take_text(run, TMPL_TYPE_STRING, ret);
}

static TMPL_FUNCTION(println)
{
    buf_clear(&run->text);
    tmpl_println(args, count, &run->text, &run->scratch);
    return run_take_text(run, TMPL_TYPE_STRING, ret);
}

static TMPL_FUNCTION(print_format)
{
    buf_clear(&run->text);
    tmpl_printf(args[0].text, args + 1, count - 1, &run->text, &run->scratch);
    return run_take_text(run, TMPL_TYPE_STRING, ret);
}

/* All arguments as an action would print them, escaped. */
static bool
escape(struct tmpl_run *run, const struct tmpl_value *args, uint32_t count,
       void (*put)(struct bytes text, struct buf *to), struct tmpl_value *ret)
{
    struct tmpl_value *shown = arena_alloc(&run->arena, (count + 1) * sizeof *shown);
    if (shown == NULL) return run_no_memory(run);
    for (uint32_t i = 0; i < count; i++) {
        shown[i] = tmpl_printable(tmpl_concrete(args[i]));
    }
    buf_clear(&run->text);
    tmpl_print(shown, count, &run->text, &run->scratch);
    struct tmpl_value plain;
    if (!run_take_text(run, TMPL_TYPE_STRING, &plain)) return false;
    buf_clear(&run->text);
    put(plain.text, &run->text);
    return run_take_text(run, TMPL_TYPE_STRING, ret);
}

static TMPL_FUNCTION(html)
{
    return escape(run, args, count, tmpl_escape_html, ret);
}

static TMPL_FUNCTION(js)
{
    return escape(run, args, count, tmpl_escape_js, ret);
}

static TMPL_FUNCTION(urlquery)
{
    return escape(run, args, count, tmpl_escape_query, ret);
}

/* --- the table -------------------------------------------------------------------------------- */

#define VALUE  TMPL_TYPE_REFLECT
#define ANY    TMPL_TYPE_ANY
#define STRING TMPL_TYPE_STRING

const struct tmpl_function *
tmpl_builtin_find(struct bytes name)
{
    static const struct tmpl_function builtins[] = {
        {.name = "and", .count = 2, .is_variadic = true, .parameters = {VALUE, VALUE}},
        {.name = "call", .count = 2, .is_variadic = true, .parameters = {VALUE, VALUE}},
        {"eq", eq, NULL, 2, true, {VALUE, VALUE}},
        {"ge", ge, NULL, 2, false, {VALUE, VALUE}},
        {"gt", gt, NULL, 2, false, {VALUE, VALUE}},
        {"html", html, NULL, 1, true, {ANY}},
        {"index", index_function, NULL, 2, true, {VALUE, VALUE}},
        {"js", js, NULL, 1, true, {ANY}},
        {"le", le, NULL, 2, false, {VALUE, VALUE}},
        {"len", len, NULL, 1, false, {VALUE}},
        {"lt", lt, NULL, 2, false, {VALUE, VALUE}},
        {"ne", ne, NULL, 2, false, {VALUE, VALUE}},
        {"not", not_function, NULL, 1, false, {VALUE}},
        {.name = "or", .count = 2, .is_variadic = true, .parameters = {VALUE, VALUE}},
        {"print", print, NULL, 1, true, {ANY}},
        {"printf", print_format, NULL, 2, true, {STRING, ANY}},
        {"println", println, NULL, 1, true, {ANY}},
        {"slice", slice, NULL, 2, true, {VALUE, VALUE}},
        {"urlquery", urlquery, NULL, 1, true, {ANY}},
    };
    return tmpl_find_in(builtins, sizeof builtins / sizeof *builtins, name);
}
