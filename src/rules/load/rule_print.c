/* rule_print.c - see rule_files.h. */
#include "rules/load/rule_files.h"

#include <strings.h>

#include "base/text/time_text.h"
#include "base/text/utf8.h"
#include "wire/yaml/yaml_reader.h"

/* Longer keys get the mark '? ': parsers limit keys without it. */
enum { SIMPLE_KEY_BYTES_MAX = 128, INDENT = 4 };

static void
put_blanks(struct buf *to, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        buf_put_u8(to, ' ');
}

/* --- texts ------------------------------------------------------------------------------------ */

/* True if no quotes are needed: a text that begins with a letter is not a number, a date or
 * syntax. */
static bool
rule_print_is_plain(const char *text)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no",
                                        "on",   "off",  "y",     "n"};
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i]) == 0) return false; /* some parsers do not read a text */
    if (!ascii_is_letter((uint8_t)text[0]) && text[0] != '_') return false;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p < ' ' || *p > '~') return false;
        if (*p == ' ' && (p[1] == '#' || p[1] == '\0')) return false;
        if (*p == ':' && (p[1] == ' ' || p[1] == '\0')) return false;
    }
    return true;
}

/* True for lines that can be a block, with at most one line end after the last. */
static bool
is_block(const char *text)
{
    const char *end = text + strlen(text);
    if (strchr(text, '\n') == NULL || text[0] == ' ' || text[0] == '\n') return false;
    if (end - text > 1 && end[-1] == '\n' && end[-2] == '\n') return false;
    for (const char *p = text; *p != '\0'; p++)
        if ((*p < ' ' || *p > '~') && *p != '\n') return false;
    return true;
}

static void
print_value(struct buf *to, const char *text, uint32_t indent)
{
    if (rule_print_is_plain(text)) {
        buf_put_text(to, text);
    } else if (is_block(text)) {
        size_t size = strlen(text);
        buf_put_text(to, text[size - 1] == '\n' ? "|" : "|-");
        for (const char *line = text, *end; *line != '\0'; line = *end == '\0' ? end : end + 1) {
            end = strchrnul(line, '\n');
            buf_put_u8(to, '\n');
            if (end > line) put_blanks(to, indent + INDENT);
            buf_put(to, line, (size_t)(end - line));
        }
    } else {
        yaml_put_quoted(to, text);
    }
}

static void
print_key(struct buf *to, const char *name, uint32_t indent)
{
    bool is_simple = strlen(name) <= SIMPLE_KEY_BYTES_MAX;
    put_blanks(to, indent);
    if (!is_simple) buf_put_text(to, "? ");
    if (rule_print_is_plain(name))
        buf_put_text(to, name);
    else
        yaml_put_quoted(to, name);
    if (!is_simple) {
        buf_put_u8(to, '\n');
        put_blanks(to, indent);
    }
    buf_put_u8(to, ':');
}

/* --- fields ----------------------------------------------------------------------------------- */

static void
put_duration_field(struct buf *to, const char *name, int64_t ms, uint32_t indent)
{
    char text[TIME_TEXT_BYTES];
    print_key(to, name, indent);
    buf_printf(to, " %s\n", time_print_duration(ms, text));
}

static void
put_text_field(struct buf *to, const char *name, const char *text, uint32_t indent)
{
    print_key(to, name, indent);
    buf_put_u8(to, ' ');
    print_value(to, text, indent);
    buf_put_u8(to, '\n');
}

static void
put_texts_field(struct buf *to, const char *name, const struct named_texts *texts, uint32_t indent)
{
    if (texts->count == 0) return;
    uint32_t below = (indent / INDENT + 1) * INDENT;
    print_key(to, name, indent);
    buf_put_u8(to, '\n');
    for (uint32_t i = 0; i < texts->count; i++)
        put_text_field(to, texts->items[i].name, texts->items[i].value, below);
}

/* --- groups ----------------------------------------------------------------------------------- */

void
rule_group_print(const struct rule_group *group, struct buf *to)
{
    put_text_field(to, "name", group->name, 0);
    if (group->interval_ms != 0) put_duration_field(to, "interval", group->interval_ms, 0);
    if (group->has_query_offset) put_duration_field(to, "query_offset", group->query_offset_ms, 0);
    if (group->limit != 0) buf_printf(to, "limit: %u\n", group->limit);
    buf_put_text(to, "rules:\n");
    for (uint32_t i = 0; i < group->rule_count; i++) {
        const struct rule *rule = &group->rules[i];
        enum { KEYS = INDENT + 2 };
        put_blanks(to, INDENT);
        buf_put_text(to, "- ");
        buf_put_text(to, rule->kind == RULE_ALERTING ? "alert: " : "record: ");
        print_value(to, rule->name, KEYS);
        buf_put_u8(to, '\n');
        put_text_field(to, "expr", rule->expression, KEYS);
        if (rule->for_ms != 0) put_duration_field(to, "for", rule->for_ms, KEYS);
        if (rule->keep_firing_for_ms != 0)
            put_duration_field(to, "keep_firing_for", rule->keep_firing_for_ms, KEYS);
        put_texts_field(to, "labels", &rule->labels, KEYS);
        put_texts_field(to, "annotations", &rule->annotations, KEYS);
    }
    put_texts_field(to, "labels", &group->labels, 0);
}

void
rules_print_namespace(const char *namespace, struct buf *to)
{
    print_key(to, namespace, 0);
    buf_put_u8(to, '\n');
}

/* Only indents the lines, which keeps their meaning. */
void
rules_print_entry(struct bytes text, struct buf *to)
{
    const uint8_t *line = text.at, *end = text.at + text.size;
    const char *before = "- ";
    while (line < end) {
        const uint8_t *next = memchr(line, '\n', (size_t)(end - line));
        if (next == NULL) next = end;
        if (next > line) {
            put_blanks(to, INDENT);
            buf_put_text(to, before);
        }
        buf_put(to, line, (size_t)(next - line));
        buf_put_u8(to, '\n');
        before = "  ";
        line = next + (next < end);
    }
}
