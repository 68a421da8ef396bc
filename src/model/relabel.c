/*
 * relabel.c - rules are compiled once: the regex, and templates cut into pieces (regex.h). A
 * series' labels are an array while the rules change them, and are made canonical at the end.
 *
 * The rules are Prometheus', and which action takes which fields is checked when they are read.
 * Lists of labels are short, so they are searched from the front; a removed label keeps its place
 * with an empty value. New values lie in the caller's arena. A series that no rule changes keeps
 * its bytes: nothing is copied. Rules are immutable, and may be applied by any
 * number of threads.
 *
 * Upper and lower case are those of the C library's C.UTF-8, whatever the process' locale, as Go
 * maps characters one by one, too.
 */
#include "model/relabel.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <wctype.h>

#include "base/buf.h"
#include "base/hash/md5.h"
#include "base/text/utf8.h"
#include "model/labels.h"
#include "model/regex/matcher_re2.h"
#include "model/regex/pattern.h"
#include "model/regex/regex.h"

enum { PROGRAM_BYTES_MAX = 8 << 20 };

struct relabel_rule {
    enum relabel_action action;
    struct bytes *sources;
    uint32_t source_count;
    struct bytes separator;
    struct literals set; /* replaces the program if the regex is a set of literals */
    struct re2_program *program;
    uint32_t groups;
    struct expansion target;
    struct expansion replacement;
    struct bytes target_label;
    uint64_t modulus;
};

struct relabel {
    struct arena arena;
    struct relabel_rule *rules;
    uint32_t count;
    locale_t locale; /* for upper and lower case */
};

static const char *const words[RELABEL_ACTION_COUNT] = {
    "replace",  "keep",      "drop",      "keepequal", "dropequal", "hashmod",
    "labelmap", "labeldrop", "labelkeep", "lowercase", "uppercase",
};

enum relabel_action
relabel_action_of(struct bytes word)
{
    unsigned a = 0;
    while (a < RELABEL_ACTION_COUNT &&
           (strlen(words[a]) != word.size ||
            strncasecmp(words[a], (const char *)word.at, word.size) != 0))
        a++;
    return (enum relabel_action)a;
}

const char *
relabel_action_word(enum relabel_action action)
{
    return words[action];
}

/* --- rules ------------------------------------------------------------------------------------ */

static enum err
wrong(struct why *why, uint32_t number, enum relabel_action action, const char *what)
{
    return why_set(why, ERR_INPUT, "relabel rule %u: action %s %s", number, words[action], what);
}

static enum err
check_spec(const struct relabel_spec *s, uint32_t number, struct why *why)
{
    bool target = s->target_label.size > 0;
    switch (s->action) {
    case RELABEL_REPLACE:
    case RELABEL_LOWERCASE:
    case RELABEL_UPPERCASE:
    case RELABEL_HASHMOD:
        if (!target) return wrong(why, number, s->action, "requires target_label");
        if (s->action == RELABEL_HASHMOD && s->modulus == 0)
            return wrong(why, number, s->action, "requires a modulus above 0");
        break;
    case RELABEL_KEEPEQUAL:
    case RELABEL_DROPEQUAL:
        if (!target) return wrong(why, number, s->action, "requires target_label");
        if (s->regex.at != NULL || s->separator.at != NULL || s->replacement.at != NULL ||
            s->modulus != 0)
            return wrong(why, number, s->action, "allows only source_labels and target_label");
        break;
    case RELABEL_LABELDROP:
    case RELABEL_LABELKEEP:
        if (s->source_label_count > 0 || target || s->modulus != 0 || s->separator.at != NULL ||
            s->replacement.at != NULL)
            return wrong(why, number, s->action, "allows only regex");
        break;
    case RELABEL_LABELMAP:
        if (s->replacement.at != NULL && s->replacement.size == 0)
            return wrong(why, number, s->action, "requires a replacement that is not empty");
        break;
    default:
        break;
    }
    return OK;
}

static struct bytes
given_or(struct bytes given, const char *fallback)
{
    return given.at == NULL ? bytes_of_text(fallback) : given;
}

static enum err
copy(struct relabel *r, struct bytes text, struct bytes *ret)
{
    *ret = arena_copy(&r->arena, text);
    return ret->at == NULL && text.size > 0 ? ERR_NOMEM : OK;
}

static enum err
compile(struct relabel *r, struct relabel_rule *rule, struct bytes regex, uint32_t number,
        struct why *why)
{
    char text[200];
    enum err e = literals_read(&rule->set, regex, &r->arena, NULL);
    rule->groups = rule->set.groups;
    if (e) return why_set(why, e, "not enough memory to compile a regex");
    if (rule->set.count > 0) return OK;
    switch (re2_program_new(regex.at, regex.size, PROGRAM_BYTES_MAX, RE2_CAPTURES, &rule->program,
                            text, sizeof text)) {
    case RE2_OK:
        rule->groups = re2_program_groups(rule->program);
        return OK;
    case RE2_INVALID:
        return why_set(why, ERR_INPUT, "relabel rule %u: invalid regex: %s", number, text);
    case RE2_TOO_LARGE:
        return why_set(why, ERR_LIMIT, "relabel rule %u: regex is too large: %s", number, text);
    case RE2_NO_MEMORY:
        break;
    }
    return why_set(why, ERR_NOMEM, "not enough memory to compile a regex");
}

static enum err
rule_init(struct relabel *r, struct relabel_rule *rule, const struct relabel_spec *s,
          uint32_t number, struct why *why)
{
    enum err e = check_spec(s, number, why);
    if (e) return e;
    struct bytes replacement;
    rule->action = s->action;
    rule->modulus = s->modulus;
    rule->source_count = s->source_label_count;
    rule->sources = arena_new(&r->arena, (s->source_label_count + 1u) * sizeof *rule->sources);
    if (rule->sources == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < s->source_label_count && e == OK; i++)
        e = copy(r, s->source_labels[i], &rule->sources[i]);
    if (e == OK) e = copy(r, given_or(s->separator, ";"), &rule->separator);
    if (e == OK) e = copy(r, s->target_label, &rule->target_label);
    if (e == OK) e = copy(r, given_or(s->replacement, "$1"), &replacement);
    if (e == OK) e = compile(r, rule, given_or(s->regex, "(.*)"), number, why);
    if (e == OK)
        e = expansion_new(&r->arena, rule->target_label, rule->program, rule->groups,
                          &rule->target);
    if (e == OK)
        e = expansion_new(&r->arena, replacement, rule->program, rule->groups, &rule->replacement);
    return e;
}

enum err
relabel_new(const struct relabel_spec *specs, uint32_t count, struct relabel **ret, struct why *why)
{
    struct relabel *r = mem_new(NULL, sizeof *r);
    if (r == NULL) return why_set(why, ERR_NOMEM, "not enough memory for relabel rules");
    arena_init(&r->arena, NULL, 0, 0);
    r->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    r->rules = arena_new(&r->arena, (count + 1u) * sizeof *r->rules);
    enum err e = r->rules == NULL || r->locale == (locale_t)0 ? ERR_NOMEM : OK;
    for (uint32_t i = 0; i < count && e == OK; i++) {
        r->count = i + 1;
        e = rule_init(r, &r->rules[i], &specs[i], i + 1, why);
    }
    if (e == ERR_NOMEM) why_set(why, e, "not enough memory for relabel rules");
    if (e) {
        relabel_free(r);
        return e;
    }
    *ret = r;
    return OK;
}

void
relabel_free(struct relabel *r)
{
    if (r == NULL) return;
    for (uint32_t i = 0; i < r->count; i++)
        re2_program_free(r->rules[i].program);
    if (r->locale != (locale_t)0) freelocale(r->locale);
    arena_fini(&r->arena);
    mem_free(NULL, r, sizeof *r);
}

/* --- a series --------------------------------------------------------------------------------- */

struct relabel_work {
    const struct relabel *relabel;
    struct arena *arena;
    struct label *labels; /* labels without a value are removed */
    uint32_t count;
    uint32_t capacity;
    bool changed;
    bool dropped;
    enum err e;
    struct re2_capture captures[RE2_CAPTURES_MAX];
};

static struct label *
find(struct relabel_work *w, struct bytes name)
{
    for (uint32_t i = 0; i < w->count; i++)
        if (bytes_equal(w->labels[i].name, name)) return &w->labels[i];
    return NULL;
}

static struct bytes
value_of(struct relabel_work *w, struct bytes name)
{
    const struct label *l = find(w, name);
    return l == NULL ? bytes_of(NULL, 0) : l->value;
}

/* An empty value removes the label. */
static void
set(struct relabel_work *w, struct bytes name, struct bytes value)
{
    struct label *l = find(w, name);
    if (l == NULL && (value.size == 0 || name.size == 0)) return;
    if (l == NULL && w->count == w->capacity) {
        struct label *more = arena_alloc(w->arena, 2 * (w->capacity + 4u) * sizeof *more);
        if (more == NULL) {
            w->e = ERR_NOMEM;
            return;
        }
        if (w->count > 0) memcpy(more, w->labels, w->count * sizeof *more);
        w->labels = more;
        w->capacity = 2 * (w->capacity + 4);
    }
    if (l == NULL) {
        l = &w->labels[w->count++];
        l->name = name;
    }
    l->value = value;
    w->changed = true;
}

static struct bytes
joined_sources(struct relabel_work *w, const struct relabel_rule *rule)
{
    if (rule->source_count == 1) return value_of(w, rule->sources[0]);
    size_t size = 0;
    for (uint32_t i = 0; i < rule->source_count; i++)
        size += value_of(w, rule->sources[i]).size + rule->separator.size;
    uint8_t *at = arena_alloc(w->arena, size + 1), *end = at;
    if (at == NULL) {
        w->e = ERR_NOMEM;
        return bytes_of(NULL, 0);
    }
    for (uint32_t i = 0; i < rule->source_count; i++) {
        struct bytes value = value_of(w, rule->sources[i]);
        if (i > 0 && rule->separator.size > 0)
            memcpy(end, rule->separator.at, rule->separator.size);
        if (i > 0) end += rule->separator.size;
        if (value.size > 0) memcpy(end, value.at, value.size);
        end += value.size;
    }
    return bytes_of(at, (size_t)(end - at));
}

static bool
matches(const struct relabel_rule *rule, struct bytes text)
{
    if (rule->set.count > 0) return literals_have(&rule->set, text);
    return re2_program_matches(rule->program, text.at, text.size);
}

static bool
captures(struct relabel_work *w, const struct relabel_rule *rule, struct bytes text)
{
    if (rule->set.count > 0) return literals_capture(&rule->set, text, w->captures);
    return re2_program_capture(rule->program, text.at, text.size, w->captures);
}

static void
replace(struct relabel_work *w, const struct relabel_rule *rule, struct bytes text)
{
    uint32_t groups = rule->groups + 1;
    if (!captures(w, rule, text)) return;
    struct bytes target = expansion_fill(&rule->target, w->captures, groups, w->arena, &w->e);
    struct bytes value = expansion_fill(&rule->replacement, w->captures, groups, w->arena, &w->e);
    if (w->e == OK && target.size > 0) set(w, target, value);
}

static void
hashmod(struct relabel_work *w, const struct relabel_rule *rule, struct bytes text)
{
    uint8_t hash[MD5_BYTES];
    char number[24];
    md5(text, hash);
    uint64_t low = __builtin_bswap64(load_le64(hash + 8));
    int size = snprintf(number, sizeof number, "%llu", (unsigned long long)(low % rule->modulus));
    struct bytes value = arena_copy(w->arena, bytes_of(number, (size_t)size));
    if (value.at == NULL) w->e = ERR_NOMEM;
    if (w->e == OK) set(w, rule->target_label, value);
}

static void
labelmap(struct relabel_work *w, const struct relabel_rule *rule)
{
    uint32_t groups = rule->groups + 1, count = w->count;
    for (uint32_t i = 0; i < count && w->e == OK; i++) {
        struct label l = w->labels[i];
        if (l.value.size == 0 || !captures(w, rule, l.name)) continue;
        struct bytes name =
            expansion_fill(&rule->replacement, w->captures, groups, w->arena, &w->e);
        if (w->e == OK) set(w, name, l.value);
    }
}

static void
labels_by_name(struct relabel_work *w, const struct relabel_rule *rule, bool drop_those_that_match)
{
    for (uint32_t i = 0; i < w->count; i++) {
        struct label *l = &w->labels[i];
        bool is_named = matches(rule, l->name);
        if (l->value.size == 0 || is_named != drop_those_that_match) continue;
        l->value.size = 0;
        w->changed = true;
    }
}

static void
change_case(struct relabel_work *w, const struct relabel_rule *rule, struct bytes text, bool upper)
{
    if (!utf8_valid(text)) return; /* left as it was received */
    uint8_t *at = arena_alloc(w->arena, text.size * 4 + 1), *end = at;
    if (at == NULL) {
        w->e = ERR_NOMEM;
        return;
    }
    for (size_t i = 0; i < text.size;) {
        size_t step = utf8_step(text.at + i, text.size - i);
        uint32_t c = utf8_get(text.at + i, step);
        i += step;
        c = (uint32_t)(upper ? towupper_l((wint_t)c, w->relabel->locale)
                             : towlower_l((wint_t)c, w->relabel->locale));
        end += utf8_put(end, c);
    }
    set(w, rule->target_label, bytes_of(at, (size_t)(end - at)));
}

static void
apply_rule(struct relabel_work *w, const struct relabel_rule *rule)
{
    struct bytes text = joined_sources(w, rule);
    if (w->e) return;
    switch (rule->action) {
    case RELABEL_REPLACE:
        replace(w, rule, text);
        break;
    case RELABEL_KEEP:
        w->dropped = !matches(rule, text);
        break;
    case RELABEL_DROP:
        w->dropped = matches(rule, text);
        break;
    case RELABEL_KEEPEQUAL:
        w->dropped = !bytes_equal(text, value_of(w, rule->target_label));
        break;
    case RELABEL_DROPEQUAL:
        w->dropped = bytes_equal(text, value_of(w, rule->target_label));
        break;
    case RELABEL_HASHMOD:
        hashmod(w, rule, text);
        break;
    case RELABEL_LABELMAP:
        labelmap(w, rule);
        break;
    case RELABEL_LABELDROP:
        labels_by_name(w, rule, true);
        break;
    case RELABEL_LABELKEEP:
        labels_by_name(w, rule, false);
        break;
    case RELABEL_LOWERCASE:
        change_case(w, rule, text, false);
        break;
    case RELABEL_UPPERCASE:
        change_case(w, rule, text, true);
        break;
    case RELABEL_ACTION_COUNT:
        break;
    }
}

static enum err
read_labels(struct relabel_work *w, struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    w->capacity = labels_count(labels) + 4;
    w->labels = arena_alloc(w->arena, w->capacity * sizeof *w->labels);
    if (w->labels == NULL) return ERR_NOMEM;
    while (labels_next(&c, &w->labels[w->count]))
        w->count++;
    return OK;
}

static enum err
build_labels(struct relabel_work *w, struct bytes *ret)
{
    static const struct labels_limits none = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    struct buf to;
    buf_init(&to, NULL, UINT32_MAX);
    enum reject reject = labels_build(w->labels, w->count, &none, &to);
    enum err e = buf_error(&to);
    *ret = bytes_of(NULL, 0); /* REJECT_EMPTY_LABELS: no label is left */
    if (e == OK && reject == REJECT_NONE) {
        *ret = arena_copy(w->arena, buf_bytes(&to));
        if (ret->at == NULL) e = ERR_NOMEM;
    }
    buf_fini(&to);
    return e;
}

enum err
relabel_apply(const struct relabel *relabel, struct bytes labels, struct arena *arena,
              struct bytes *ret_labels)
{
    struct relabel_work w = {.relabel = relabel, .arena = arena};
    w.e = read_labels(&w, labels);
    for (uint32_t i = 0; i < relabel->count && w.e == OK && !w.dropped; i++)
        apply_rule(&w, &relabel->rules[i]);
    if (w.e) return w.e;
    *ret_labels = w.dropped ? bytes_of(NULL, 0) : labels;
    return w.dropped || !w.changed ? OK : build_labels(&w, ret_labels);
}
