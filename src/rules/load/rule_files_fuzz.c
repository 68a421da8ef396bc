/* rule_files_fuzz.c - reads any text as a file of rules, and as one group: it is refused with a
 * sentence that names a place, or gives complete groups, which are the same when read again, or
 * printed and then read. */
#include <assert.h>

#include "base/text/utf8.h"
#include "rules/load/rule_files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES_MAX = 64 << 20 };

static void
count_sentence(void *context, struct bytes sentence)
{
    assert(sentence.size > 0);
    assert(utf8_valid(sentence));
    assert(memcmp(sentence.at, "fuzz.yml:", 9) == 0);
    ++*(uint32_t *)context;
}

static void
check_texts(const struct named_texts *texts)
{
    assert(texts->count <= RULE_TEXTS_MAX);
    for (uint32_t i = 0; i < texts->count; i++) {
        assert(texts->items[i].value != NULL);
        assert(texts->items[i].name[0] != 0);
        assert(i == 0 || strcmp(texts->items[i - 1].name, texts->items[i].name) < 0);
    }
}

static void
check_group(const struct rule_group *group)
{
    assert(group->name[0] != 0);
    assert(group->interval_ms >= 0);
    assert(group->line > 0);
    check_texts(&group->labels);
    for (uint32_t i = 0; i < group->rule_count; i++) {
        const struct rule *rule = &group->rules[i];
        assert(rule->name[0] != 0);
        assert(rule->expression[0] != 0);
        assert(rule->line > 0);
        check_texts(&rule->labels);
        check_texts(&rule->annotations);
        assert(rule->kind == RULE_ALERTING || rule->annotations.count == 0);
        assert(rule->kind == RULE_ALERTING || rule->for_ms + rule->keep_firing_for_ms == 0);
    }
}

/* Checks a group that can be parsed alone. Its printed form may be longer than the
 * limit of files. */
static void
check_printed(const struct rule_group *group)
{
    const struct rule_file_options options = {false, count_sentence, &(uint32_t){0}};
    struct rule_group again;
    struct why why = {""};
    struct arena arena;
    struct buf text, second;
    arena_init(&arena, NULL, ARENA_BYTES_MAX, 0);
    buf_init(&text, NULL, RULE_FILE_BYTES_MAX);
    buf_init(&second, NULL, RULE_FILE_BYTES_MAX);
    rule_group_print(group, &text);
    if (buf_error(&text) == OK) {
        enum err e = rule_group_parse("fuzz.yml", buf_bytes(&text), &options, &arena, &again, &why);
        assert(e == OK || e == ERR_NOMEM);
        if (e == OK) {
            assert(again.hash == group->hash);
            rule_group_print(&again, &second);
            assert(bytes_equal(buf_bytes(&text), buf_bytes(&second)));
        }
    }
    buf_fini(&text);
    buf_fini(&second);
    arena_fini(&arena);
}

static void
parse_group(struct bytes text)
{
    uint32_t sentences = 0;
    const struct rule_file_options options = {false, count_sentence, &sentences};
    struct rule_group group = {NULL};
    struct why why = {""};
    struct arena arena;
    arena_init(&arena, NULL, ARENA_BYTES_MAX, 0);
    enum err e = rule_group_parse("fuzz.yml", text, &options, &arena, &group, &why);
    assert(e == OK || e == ERR_INPUT || e == ERR_NOMEM);
    assert(e == OK || why.text[0] != 0);
    assert((e == ERR_INPUT) == (sentences > 0));
    if (e == OK) {
        check_group(&group);
        assert(group.rule_count > 0);
        check_printed(&group);
    }
    arena_fini(&arena);
}

static void
parse(struct bytes text, bool ignore_unknown_fields)
{
    uint32_t sentences = 0;
    const struct rule_file_options options = {ignore_unknown_fields, count_sentence, &sentences};
    struct rule_groups groups = {NULL}, again = {NULL};
    struct why why = {""};
    struct arena arena;
    arena_init(&arena, NULL, ARENA_BYTES_MAX, 0);
    enum err e = rule_file_parse("fuzz.yml", text, &options, &arena, &groups, &why);
    assert(e == OK || e == ERR_INPUT || e == ERR_NOMEM);
    assert(e == OK || why.text[0] != 0);
    assert(e != OK || sentences == 0);
    assert(e != ERR_INPUT || sentences > 0);
    if (e == OK && rule_file_parse("fuzz.yml", text, &options, &arena, &again, &why) == OK) {
        assert(groups.count == again.count);
        for (uint32_t i = 0; i < groups.count; i++) {
            check_group(&groups.items[i]);
            assert(groups.items[i].hash == again.items[i].hash);
            if (groups.items[i].rule_count > 0) check_printed(&groups.items[i]);
        }
    }
    arena_fini(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse(bytes_of(data, size), false);
    parse(bytes_of(data, size), true);
    parse_group(bytes_of(data, size));
    return 0;
}
