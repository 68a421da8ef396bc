/*
 * functions.c - the functions that a statement may call: those of SQLite that are pure, and whose
 * time is bounded by the length of their arguments, and those here, of times and texts:
 *
 *     ts(TEXT [, ZONE])      milliseconds of a time: RFC 3339, or without an offset in the zone
 *     iso(TIME [, ZONE])     RFC 3339, in UTC or the zone
 *     now(), ago(DURATION)   of the statement
 *     bin(TIME, DURATION [, ZONE])   the beginning of the interval, which begins at midnight there
 *     X REGEXP Y             RE2, anywhere in the text
 *
 * SQLite's own instr(), replace() and trim() compare each place with the whole second argument,
 * which takes hours for two texts of 1 MiB; instr() and replace() here take time for their sum.
 */
#include "sql/statement.h"

#include <stdio.h>

#include "base/text/time_text.h"
#include "sys/zone.h"

/* --- what is allowed ---------------------------------------------------------------------------
 */

/* LIKE, GLOB and REGEXP are functions, too. */
static const char allowed[] =
    " -> ->> abs acos acosh ago asin asinh atan atan2 atanh avg bin ceil ceiling char "
    "coalesce cos cosh count cume_dist date datetime degrees delta dense_rank exp first "
    "first_value floor format glob group_concat hex histogram_quantile ifnull iif increase "
    "instr iso json json_array json_array_length json_each json_extract json_group_array "
    "json_group_object json_insert json_object json_patch json_quote json_remove "
    "json_replace json_set json_type json_valid julianday lag last last_value lead length "
    "like likelihood likely ln log log10 log2 lower ltrim max min mod now nth_value ntile "
    "nullif percent_rank pi pow power printf quantile quote radians random randomblob rank "
    "rate regexp replace round row_number rtrim sign sin sinh sqrt stddev strftime substr "
    "substring sum tan tanh time total trim trunc ts typeof unicode unixepoch unlikely "
    "upper zeroblob ";

bool
sql_is_function(const char *name)
{
    char word[64];
    int size = snprintf(word, sizeof word, " %s ", name);
    if (size >= (int)sizeof word || strchr(name, ' ') != NULL) return false;
    for (char *c = word; *c != '\0'; c++)
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
    return strstr(allowed, word) != NULL;
}

/* --- times -------------------------------------------------------------------------------------
 */

/* Finds the zone that an argument names; it stays with the argument while that is constant. NULL:
 * it is an error, which was set. */
static const struct zone *
zone_of(sqlite3_context *context, int argument, sqlite3_value *value)
{
    struct sql *sql = sqlite3_user_data(context);
    const struct zone *zone = sqlite3_get_auxdata(context, argument);
    struct why why;
    if (zone != NULL) return zone;
    struct bytes name = sql_text(value);
    enum err e = name.size == 0 ? why_set(&why, ERR_INPUT, "expected the name of a time zone")
                                : zone_read(sql->options.env, name, &sql->arena, &zone, &why);
    if (e) {
        sql_fail_function(context, why_text(&why, e));
        return NULL;
    }
    sqlite3_set_auxdata(context, argument, (void *)(uintptr_t)zone, NULL);
    return zone;
}

static int64_t
floor_s(int64_t ms)
{
    return ms / 1000 - (ms % 1000 < 0);
}

/* Says whether the text of a time ends in an offset from UTC. */
static bool
has_offset(struct bytes text)
{
    for (size_t i = text.size; i > 10; i--) { /* after the date */
        uint8_t c = text.at[i - 1];
        if (c == 'Z' || c == 'z' || c == '+' || c == '-') return true;
    }
    return false;
}

static void
call_ts(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct bytes text = sql_text(argv[0]);
    char whole[TIME_TEXT_BYTES + 8];
    int64_t ms;
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL) return;
    if (text.at == NULL || text.size > TIME_TEXT_BYTES) {
        sql_fail_function(context, "ts() needs a text, as '2024-02-29 12:00'");
        return;
    }
    /* A time without seconds, and one without an offset, are completed. */
    bool has_zone = has_offset(text);
    bool is_short = text.size == 16 && !has_zone;
    snprintf(whole, sizeof whole, "%.*s%s%s", (int)text.size, (const char *)text.at,
             is_short ? ":00" : "", has_zone || text.size == 10 ? "" : "Z");
    if (!time_parse_rfc3339(bytes_of_text(whole), &ms)) {
        sql_fail_function(context, "ts() needs a time, as '2024-02-29 12:00:00+01:00'");
        return;
    }
    if (argc == 2 && !has_zone) {
        const struct zone *zone = zone_of(context, 1, argv[1]);
        if (zone == NULL) return;
        int64_t s = floor_s(ms);
        ms = zone_to_utc_s(zone, s) * 1000 + (ms - s * 1000);
    }
    sqlite3_result_int64(context, ms);
}

static void
call_iso(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    char text[TIME_TEXT_BYTES], whole[TIME_TEXT_BYTES + 8];
    if (sqlite3_value_numeric_type(argv[0]) != SQLITE_INTEGER) {
        if (sqlite3_value_type(argv[0]) != SQLITE_NULL)
            sql_fail_function(context, "iso() needs a time in milliseconds");
        return;
    }
    int64_t ms = sqlite3_value_int64(argv[0]), offset_s = 0;
    const struct zone *zone = argc == 2 ? zone_of(context, 1, argv[1]) : NULL;
    if (argc == 2 && zone == NULL) return;
    if (zone != NULL) offset_s = zone_offset_s(zone, floor_s(ms));
    int64_t local;
    if (__builtin_add_overflow(ms, offset_s * 1000, &local)) local = ms;
    time_print(local, text);
    size_t size = strlen(text);
    if (zone != NULL && size > 0 && text[size - 1] == 'Z') {
        int64_t minutes = (offset_s < 0 ? -offset_s : offset_s) / 60;
        snprintf(whole, sizeof whole, "%.*s%c%02d:%02d", (int)size - 1, text,
                 offset_s < 0 ? '-' : '+', (int)(minutes / 60), (int)(minutes % 60));
    } else {
        snprintf(whole, sizeof whole, "%s", text);
    }
    sqlite3_result_text(context, whole, -1, SQLITE_TRANSIENT);
}

static void
call_now(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const struct sql *sql = sqlite3_user_data(context);
    (void)argc, (void)argv;
    sqlite3_result_int64(context, sql->options.now_ms);
}

/* Reads a duration. False: an error, or NULL, is the result. */
static bool
read_sql_duration(sqlite3_context *context, sqlite3_value *value, int64_t *ret_ms)
{
    struct bytes text = sql_text(value);
    if (sqlite3_value_type(value) == SQLITE_NULL) return false;
    if (sqlite3_value_type(value) == SQLITE_INTEGER) {
        *ret_ms = sqlite3_value_int64(value);
        if (*ret_ms > 0) return true;
    } else if (text.at != NULL && time_parse_duration(text, ret_ms) && *ret_ms > 0) {
        return true;
    }
    sql_fail_function(context, "expected a duration above 0, as '5m' or '1h30m'");
    return false;
}

static void
call_ago(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const struct sql *sql = sqlite3_user_data(context);
    int64_t ms, t;
    (void)argc;
    if (!read_sql_duration(context, argv[0], &ms)) return;
    if (__builtin_sub_overflow(sql->options.now_ms, ms, &t)) t = INT64_MIN;
    sqlite3_result_int64(context, t);
}

static void
call_bin(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    int64_t step, shift = 0, local;
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL || !read_sql_duration(context, argv[1], &step))
        return;
    if (sqlite3_value_numeric_type(argv[0]) != SQLITE_INTEGER) {
        sql_fail_function(context, "bin() needs a time in milliseconds");
        return;
    }
    int64_t t = sqlite3_value_int64(argv[0]);
    const struct zone *zone = argc == 3 ? zone_of(context, 2, argv[2]) : NULL;
    if (argc == 3 && zone == NULL) return;
    if (zone != NULL) shift = zone_offset_s(zone, floor_s(t)) * 1000;
    if (__builtin_add_overflow(t, shift, &local)) local = t;
    int64_t rest = local % step;
    if (rest < 0) rest += step;
    if (__builtin_sub_overflow(local, rest, &local)) local = INT64_MIN;
    /* Where the bin began before the clocks changed, its offset is another one. */
    if (zone != NULL && step >= 3600000) {
        int64_t s = floor_s(local);
        local = zone_to_utc_s(zone, s) * 1000 + (local - s * 1000);
    } else {
        local -= shift;
    }
    sqlite3_result_int64(context, local);
}

/* --- texts -------------------------------------------------------------------------------------
 */

enum err
sql_find_new(enum matcher_type type, struct bytes name, struct bytes pattern, struct budget *budget,
             struct matcher **ret, struct why *why)
{
    static const char begin[] = ".*(?:", end[] = ").*";
    struct buf whole;
    struct matcher *alone;
    /* "a)(b" is malformed, but not between the parentheses that are added. */
    enum err e = matcher_new(type, name, pattern, budget, &alone, why);
    if (e) return e;
    matcher_free(alone);
    buf_init(&whole, budget, MATCHER_PATTERN_BYTES_MAX);
    buf_put_text(&whole, begin);
    buf_put_bytes(&whole, pattern);
    buf_put_text(&whole, end);
    e = buf_error(&whole) ? why_set(why, buf_error(&whole), "the pattern is too long")
                          : matcher_new(type, name, buf_bytes(&whole), budget, ret, why);
    buf_fini(&whole);
    return e;
}

static void
free_matcher(void *matcher)
{
    matcher_free(matcher);
}

/* regexp(PATTERN, TEXT), which SQLite calls for TEXT REGEXP PATTERN. */
static void
call_regexp(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct sql *sql = sqlite3_user_data(context);
    struct matcher *matcher = sqlite3_get_auxdata(context, 0), *made = NULL;
    struct why why;
    (void)argc;
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL || sqlite3_value_type(argv[1]) == SQLITE_NULL)
        return;
    if (matcher == NULL) {
        const uint8_t *pattern = sqlite3_value_text(argv[0]);
        size_t size = (size_t)sqlite3_value_bytes(argv[0]);
        enum err e = pattern == NULL
                         ? ERR_NOMEM
                         : sql_find_new(MATCH_REGEX, bytes_of_text("x"), bytes_of(pattern, size),
                                        sql->options.budget, &made, &why);
        if (e == ERR_NOMEM) {
            sqlite3_result_error_nomem(context);
            return;
        }
        if (e) {
            sql_fail_function(context, why_text(&why, e));
            return;
        }
        matcher = made;
    }
    const uint8_t *text = sqlite3_value_text(argv[1]);
    size_t size = (size_t)sqlite3_value_bytes(argv[1]);
    if (text == NULL)
        sqlite3_result_error_nomem(context);
    else
        sqlite3_result_int(context, matcher_matches(matcher, bytes_of(text, size)));
    if (made != NULL) sqlite3_set_auxdata(context, 0, made, free_matcher);
}

/* Reads an argument as text. False: it is NULL, or there is no memory. */
static bool
text_argument(sqlite3_value *value, struct bytes *ret)
{
    if (sqlite3_value_type(value) == SQLITE_NULL) return false;
    const uint8_t *at = sqlite3_value_text(value);
    *ret = bytes_of(at, (size_t)sqlite3_value_bytes(value));
    return at != NULL;
}

static const uint8_t *
find_text(struct bytes in, struct bytes text)
{
    return memmem(in.at, in.size, text.at, text.size);
}

static size_t
count_characters(struct bytes text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += (text.at[i] & 0xc0) != 0x80;
    return count;
}

static void
call_instr(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct bytes in, text;
    (void)argc;
    if (!text_argument(argv[0], &in) || !text_argument(argv[1], &text)) return;
    const uint8_t *at = find_text(in, text);
    size_t before = at == NULL ? 0 : count_characters(bytes_of(in.at, (size_t)(at - in.at))) + 1;
    sqlite3_result_int64(context, (sqlite3_int64)before);
}

static void
call_replace(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const struct sql *sql = sqlite3_user_data(context);
    struct bytes in, text, by;
    struct buf to;
    (void)argc;
    if (!text_argument(argv[0], &in) || !text_argument(argv[1], &text) ||
        !text_argument(argv[2], &by))
        return;
    if (text.size == 0) {
        sql_result_text(context, in);
        return;
    }
    buf_init(&to, sql->options.budget, (size_t)sqlite3_limit(sql->db, SQLITE_LIMIT_LENGTH, -1));
    for (const uint8_t *at; (at = find_text(in, text)) != NULL;) {
        size_t before = (size_t)(at - in.at), step = before + text.size;
        buf_put(&to, in.at, before);
        buf_put_bytes(&to, by);
        in = bytes_of(in.at + step, in.size - step);
    }
    buf_put_bytes(&to, in);
    if (buf_error(&to) == ERR_NOMEM)
        sqlite3_result_error_nomem(context);
    else if (buf_error(&to))
        sqlite3_result_error_toobig(context);
    else
        sql_result_text(context, to.size == 0 ? bytes_of_text("") : buf_bytes(&to));
    buf_fini(&to);
}

static void
refuse_trim(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    (void)argc, (void)argv;
    sql_fail_function(context, "trim() has one argument here: it removes blanks");
}

int
sql_add_functions(struct sql *sql)
{
    static const struct {
        const char *name;
        int arguments;
        void (*call)(sqlite3_context *context, int argc, sqlite3_value **argv);
    } scalars[] = {
        {"ts", 1, call_ts},        {"ts", 2, call_ts},           {"iso", 1, call_iso},
        {"iso", 2, call_iso},      {"now", 0, call_now},         {"ago", 1, call_ago},
        {"bin", 2, call_bin},      {"bin", 3, call_bin},         {"regexp", 2, call_regexp},
        {"instr", 2, call_instr},  {"replace", 3, call_replace}, {"trim", 2, refuse_trim},
        {"ltrim", 2, refuse_trim}, {"rtrim", 2, refuse_trim},
    };
    int code = SQLITE_OK;
    for (unsigned i = 0; i < sizeof scalars / sizeof *scalars && code == SQLITE_OK; i++)
        code =
            sqlite3_create_function_v2(sql->db, scalars[i].name, scalars[i].arguments,
                                       SQL_FUNCTION_FLAGS, sql, scalars[i].call, NULL, NULL, NULL);
    return code == SQLITE_OK ? sql_add_aggregates(sql) : code;
}
