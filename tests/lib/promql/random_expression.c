/* random_expression.c - see random_expression.h. */
#include "lib/promql/random_expression.h"

uint32_t
choose(struct choices *c, uint32_t count)
{
    uint32_t v = c->at < c->end ? *c->at++ : 0;
    if (count > 256 && c->at < c->end) v = v << 8 | *c->at++;
    return v % count;
}

struct expression {
    struct choices *from;
    struct buf *to;
};

const char *const metric_names[METRIC_NAMES] = {
    "m", "requests_total", "h", "latency_bucket", "size_sum", "target_info", "none", "a.b"};

const char *const label_names[LABEL_NAMES] = {
    "a", "b", "job", "instance", "le", "__name__", "__type__", "__unit__", "nosuch", "c.d"};

const char *const label_values[LABEL_VALUES] = {"x",       "y",         "1",  "0.5", "+Inf",
                                                "counter", "histogram", "zz", "",    "1e1"};

static void put_vector(struct expression *x, unsigned depth);

static void put_scalar(struct expression *x, unsigned depth);

/* Appends one of the words, mostly one of the first. */
static void
put_mostly(struct expression *x, const char *const *list, uint32_t count, uint32_t usual)
{
    bool is_usual = choose(x->from, 4) < 3;
    buf_put_text(x->to, list[choose(x->from, is_usual ? usual : count)]);
}

static void
put_duration(struct expression *x)
{
    static const char *const list[] = {
        "5m",     "1m",       "30s",   "15s",    "1h",
        "90",     "1d",       "2m30s", "1ms",    "1y",
        "0.5",    "290y",     "1h1m",  "step()", "range()",
        "2*30s",  "(1m + 7)", "17.3",  "-5m",    "max_of(1m, step())",
        "1m ^ 3",
    };
    put_mostly(x, list, sizeof list / sizeof *list, 5);
}

static void
put_shift(struct expression *x)
{
    static const char *const list[] = {
        "",
        " offset 1m",
        " offset -1m",
        " @ start()",
        " @ end()",
        " @ 1600000000",
        " @ 0",
        " offset 5m @ 1600000100.5",
        " @ end() offset -30s",
        " @ -1",
        " offset 290y",
        " offset -290y",
        " offset (step() * 2)",
        " @ 9223372036854775",
        " @ -9223372036854775",
    };
    put_mostly(x, list, sizeof list / sizeof *list, 1);
}

static void
put_selector(struct expression *x)
{
    static const char *const ops[] = {"=", "!=", "=~", "!~"};
    static const char *const patterns[] = {".*", ".+", "x|y", "", "[a-z].*", "(?i)X"};
    struct choices *c = x->from;
    if (choose(c, 8) == 7)
        buf_put_text(x->to, "{__name__=~\"m|h|latency_bucket|requests_total\"");
    else
        buf_printf(x->to, "{\"%s\"", choose_text(c, metric_names));
    for (uint32_t i = choose(c, 6) / 4; i > 0; i--) {
        uint32_t op = choose(c, 4);
        const char *name = choose_text(c, label_names);
        buf_printf(x->to, ", \"%s\"%s\"%s\"", name, ops[op],
                   op < 2 ? choose_text(c, label_values) : choose_text(c, patterns));
    }
    buf_put_text(x->to, "}");
}

/* Few functions support extents, and subqueries do not. */
static void
put_extent(struct expression *x)
{
    static const char *const list[] = {"", " anchored", " smoothed"};
    put_mostly(x, list, sizeof list / sizeof *list, 1);
}

static bool
takes_extent(enum function_id id)
{
    return id == FUNCTION_RESETS || id == FUNCTION_CHANGES || id == FUNCTION_RATE ||
           id == FUNCTION_INCREASE || id == FUNCTION_DELTA;
}

static void
put_matrix(struct expression *x, unsigned depth, bool may_extend)
{
    bool is_subquery = depth > 0 && choose(x->from, 3) == 2;
    if (is_subquery) {
        buf_put_text(x->to, "(");
        put_vector(x, depth - 1);
        buf_put_text(x->to, ")");
    } else {
        put_selector(x);
    }
    buf_put_text(x->to, "[");
    put_duration(x);
    if (is_subquery) {
        buf_put_text(x->to, ":");
        if (choose(x->from, 2) == 1) put_duration(x);
    }
    buf_put_text(x->to, "]");
    if (!is_subquery && (may_extend || choose(x->from, 32) == 31)) put_extent(x);
    put_shift(x);
}

static void
put_number(struct expression *x)
{
    static const char *const list[] = {"1",    "0",    "-1",  "0.5",  "NaN",  "Inf",   "-Inf",
                                       "2",    "0.99", "1e9", "7",    "-0",   "1e308", "5e-324",
                                       "-3.7", "1m",   "100", "1e19", "-1e19"};
    buf_put_text(x->to, choose_text(x->from, list));
}

static void
put_string(struct expression *x)
{
    static const char *const list[] = {"$1",  "a",      "b",   "(.*)",  "__name__", "",  "le",
                                       "x$1", "(.)(.)", "job", "$2-$1", "c.d",      "[", "-"};
    buf_printf(x->to, "\"%s\"", choose_text(x->from, list));
}

static void
put_argument(struct expression *x, enum value_type type, unsigned depth)
{
    switch (type) {
    case VALUE_SCALAR:
        put_scalar(x, depth);
        break;
    case VALUE_STRING:
        put_string(x);
        break;
    default:
        put_vector(x, depth);
        break;
    }
}

static void
put_call(struct expression *x, enum function_id id, unsigned depth)
{
    const struct function *f = &functions[id];
    uint32_t count = f->argument_count;
    unsigned below = depth > 0 ? depth - 1 : 0;
    if (f->variadic != 0) /* the last argument may be missing, or repeated */
        count = count - 1 + choose(x->from, f->variadic < 0 ? 4 : (uint32_t)f->variadic + 1);
    buf_printf(x->to, "%s(", f->name);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t last = f->argument_count - 1;
        if (i > 0) buf_put_text(x->to, ", ");
        if (id == FUNCTION_INFO && i == 1)
            buf_put_text(x->to, choose(x->from, 2) == 0 ? "{\"c.d\"=~\".*\"}" : "{a=\"x\"}");
        else if (f->arguments[i < last ? i : last] == VALUE_MATRIX)
            put_matrix(x, below, takes_extent(id));
        else
            put_argument(x, f->arguments[i < last ? i : last], below);
    }
    buf_put_text(x->to, ")");
}

static void
put_names(struct expression *x)
{
    buf_put_text(x->to, "(");
    for (uint32_t i = choose(x->from, 4), n = 0; n < i; n++)
        buf_printf(x->to, "%s\"%s\"", n > 0 ? ", " : "", choose_text(x->from, label_names));
    buf_put_text(x->to, ")");
}

static void
put_aggregation(struct expression *x, unsigned depth)
{
    static const struct {
        const char *name;
        enum value_type param;
    } list[] = {
        {"sum", VALUE_NONE},        {"avg", VALUE_NONE},
        {"min", VALUE_NONE},        {"max", VALUE_NONE},
        {"count", VALUE_NONE},      {"group", VALUE_NONE},
        {"stddev", VALUE_NONE},     {"stdvar", VALUE_NONE},
        {"topk", VALUE_SCALAR},     {"bottomk", VALUE_SCALAR},
        {"limitk", VALUE_SCALAR},   {"limit_ratio", VALUE_SCALAR},
        {"quantile", VALUE_SCALAR}, {"count_values", VALUE_STRING},
    };
    uint32_t i = choose(x->from, sizeof list / sizeof *list);
    buf_put_text(x->to, list[i].name);
    uint32_t grouping = choose(x->from, 3);
    if (grouping > 0) {
        buf_put_text(x->to, grouping == 1 ? " by " : " without ");
        put_names(x);
    }
    buf_put_text(x->to, "(");
    if (list[i].param != VALUE_NONE) {
        put_argument(x, list[i].param, depth - 1);
        buf_put_text(x->to, ", ");
    }
    put_vector(x, depth - 1);
    buf_put_text(x->to, ")");
}

static void
put_matching(struct expression *x, bool is_set)
{
    static const char *const fills[] = {"",
                                        "",
                                        "",
                                        " fill (0)",
                                        " fill_left (NaN)",
                                        " fill_right (1e9)",
                                        " fill_left (1) fill_right (-Inf)"};
    static const char *const groups[] = {" group_left ", " group_right "};
    uint32_t kind = choose(x->from, 3);
    if (kind > 0) {
        buf_put_text(x->to, kind == 1 ? " on " : " ignoring ");
        put_names(x);
        if (!is_set && choose(x->from, 2) == 1) {
            buf_put_text(x->to, choose_text(x->from, groups));
            put_names(x);
        }
    }
    if (!is_set) buf_put_text(x->to, choose_text(x->from, fills));
}

/* Appends a vector with few labels, so that it may match another one. */
static void
put_side(struct expression *x)
{
    static const char *const open[] = {"",
                                       "",
                                       "",
                                       "count by (a)(",
                                       "count(",
                                       "group by (a, b)(",
                                       "sum by (b)(",
                                       "max without (a)(",
                                       "timestamp(",
                                       "abs(",
                                       "last_over_time(",
                                       "rate("};
    static const char *const metrics[] = {"m", "requests_total", "h"};
    static const char *const values[] = {"=\"x\"", "=~\"x|y\"", "=~\"[xy]\"", "=\"y\""};
    uint32_t form = choose(x->from, sizeof open / sizeof *open);
    bool is_range = form >= 10;
    if (choose(x->from, 8) == 7)
        buf_printf(x->to, "%s{__name__!=\"\"", open[form]);
    else
        buf_printf(x->to, "%s{\"%s\"", open[form], choose_text(x->from, metrics));
    if (choose(x->from, 3) > 0) buf_printf(x->to, ", a%s", choose_text(x->from, values));
    if (choose(x->from, 3) == 2) buf_printf(x->to, ", b%s", choose_text(x->from, values));
    buf_printf(x->to, "}%s%s", is_range ? "[5m]" : "", form >= 3 ? ")" : "");
}

/* Appends two vectors, or a set of two and another one. */
static void
put_sides(struct expression *x, bool again)
{
    static const char *const ops[] = {"and", "unless", "or", "/", ">", "== bool", "*"};
    static const char *const matchings[] = {"", " on (a)", " on (a, b)", " ignoring (b)",
                                            " on (b)"};
    static const char *const groups[] = {"", "", " group_left ()", " group_right ()",
                                         " group_left (b)"};
    uint32_t op = choose(x->from, sizeof ops / sizeof *ops);
    uint32_t matching = choose(x->from, sizeof matchings / sizeof *matchings);
    buf_put_text(x->to, "(");
    if (again && choose(x->from, 2) == 1)
        put_sides(x, false);
    else
        put_side(x);
    buf_printf(x->to, " %s%s", ops[op], matchings[matching]);
    if (op >= 3 && matching > 0) buf_put_text(x->to, choose_text(x->from, groups));
    buf_put_text(x->to, " ");
    put_side(x);
    buf_put_text(x->to, ")");
}

static void
put_binary(struct expression *x, unsigned depth)
{
    static const char *const ops[] = {"+",  "-", "*",  "/", "%",  "^",  "atan2", "==", "!=",
                                      "<=", "<", ">=", ">", "</", ">/", "and",   "or", "unless"};
    uint32_t op = choose(x->from, sizeof ops / sizeof *ops), form = choose(x->from, 7);
    bool is_set = op >= 15;
    if (form > 4) {
        put_sides(x, true);
        return;
    }
    buf_put_text(x->to, "(");
    size_t begin = x->to->size;
    if (!is_set && form == 3)
        put_scalar(x, depth - 1);
    else
        put_vector(x, depth - 1);
    size_t size = x->to->size - begin;
    buf_printf(x->to, " %s", ops[op]);
    if (op >= 7 && op < 13 && choose(x->from, 3) == 2) buf_put_text(x->to, " bool");
    if (is_set || form < 2) put_matching(x, is_set);
    buf_put_text(x->to, " ");
    if (!is_set && form == 2)
        put_scalar(x, depth - 1);
    else if (form == 4 && buf_reserve(x->to, size)) /* the same vector again */
        buf_put(x->to, x->to->at + begin, size);
    else
        put_vector(x, depth - 1);
    buf_put_text(x->to, ")");
}

static void
put_scalar(struct expression *x, unsigned depth)
{
    static const enum function_id list[] = {FUNCTION_TIME,   FUNCTION_PI,     FUNCTION_START,
                                            FUNCTION_END,    FUNCTION_STEP,   FUNCTION_RANGE,
                                            FUNCTION_SCALAR, FUNCTION_MAX_OF, FUNCTION_MIN_OF};
    static const char *const ops[] = {"+", "/", "%", "^", "== bool", "> bool", "atan2"};
    uint32_t kind = depth == 0 ? 0 : choose(x->from, 5);
    if (kind < 3) {
        put_number(x);
    } else if (kind == 3) {
        put_call(x, choose_text(x->from, list), depth);
    } else {
        buf_put_text(x->to, "(");
        put_scalar(x, depth - 1);
        buf_printf(x->to, " %s ", choose_text(x->from, ops));
        put_scalar(x, depth - 1);
        buf_put_text(x->to, ")");
    }
}

static void
put_vector(struct expression *x, unsigned depth)
{
    uint32_t kind = depth == 0 ? 0 : choose(x->from, 9);
    if (kind == 0) {
        put_selector(x);
        put_extent(x);
        put_shift(x);
    } else if (kind < 5) {
        enum function_id id = (enum function_id)choose(x->from, FUNCTION_COUNT);
        bool is_scalar = functions[id].result == VALUE_SCALAR;
        if (is_scalar) buf_put_text(x->to, "vector(");
        put_call(x, id, depth);
        if (is_scalar) buf_put_text(x->to, ")");
    } else if (kind < 7) {
        put_aggregation(x, depth);
    } else if (kind == 7) {
        put_binary(x, depth);
    } else {
        buf_put_text(x->to, choose(x->from, 2) == 0 ? "-(" : "(");
        put_vector(x, depth - 1);
        buf_put_text(x->to, ")");
    }
}

void
put_expression(struct choices *from, struct buf *to)
{
    struct expression x = {from, to};
    uint32_t kind = choose(from, 16);
    if (kind == 14)
        put_matrix(&x, 2, false);
    else if (kind == 15)
        put_scalar(&x, 3);
    else
        put_vector(&x, 1 + choose(from, 4));
}
