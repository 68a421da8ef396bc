/* Any bytes as a checkpoint of rules, with the right header and as they are: refused, or records
 * that lie in the file, whose numbers add up, and which make the same checkpoint again. */
#include <assert.h>

#include "base/framed.h"
#include "rules/checkpoint_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_view(struct bytes view, struct bytes file)
{
    assert(view.at >= file.at + FRAMED_HEADER_BYTES);
    assert(view.at + view.size <= file.at + file.size);
}

static void
check_labels(const struct label *labels, uint32_t count, struct bytes file)
{
    for (uint32_t i = 0; i < count; i++) {
        check_view(labels[i].name, file);
        check_view(labels[i].value, file);
    }
}

static void
check_group(const struct checkpoint_group *g, struct bytes file, struct checkpoint *sums)
{
    check_view(g->file, file);
    check_view(g->name, file);
    sums->group_count++;
    for (uint32_t i = 0; i < g->rule_count; i++) {
        const struct checkpoint_rule *rule = &g->rules[i];
        check_view(rule->name, file);
        check_labels(rule->labels, rule->label_count, file);
        sums->rule_count++;
        sums->label_count += rule->label_count;
        for (uint32_t k = 0; k < rule->alert_count; k++) {
            const struct alert_found *found = &rule->alerts[k].found;
            check_view(found->labels, file);
            check_labels(found->annotations, found->annotation_count, file);
            sums->alert_count++;
            sums->label_count += found->annotation_count;
        }
    }
}

static void
check_records(const struct checkpoint *c, struct bytes file)
{
    struct checkpoint sums = {.tenants = NULL};
    for (uint32_t i = 0; i < c->tenant_count; i++) {
        check_view(c->tenants[i].name, file);
        for (uint32_t k = 0; k < c->tenants[i].group_count; k++) {
            check_group(&c->tenants[i].groups[k], file, &sums);
        }
    }
    assert(sums.group_count == c->group_count);
    assert(sums.rule_count == c->rule_count);
    assert(sums.alert_count == c->alert_count);
    assert(sums.label_count == c->label_count);
}

/* The same records, but for varints that were longer than they need be. */
static void
check_again(const struct checkpoint *c)
{
    struct checkpoint again;
    struct buf file;
    buf_init(&file, NULL, CHECKPOINT_BYTES_MAX);
    assert(checkpoint_testing_encode(c, &file, NULL) == OK);
    assert(checkpoint_decode(buf_bytes(&file), NULL, &again, NULL) == OK);
    assert(checkpoint_testing_same(c, &again));
    checkpoint_fini(&again);
    buf_fini(&file);
}

static void
decode(struct bytes file)
{
    struct checkpoint found;
    struct budget memory;
    struct why why = {""};
    budget_init(&memory, "fuzz", 64 << 20, NULL);
    enum err e = checkpoint_decode(file, &memory, &found, &why);
    assert(e == OK || e == ERR_CORRUPT || e == ERR_UNSUPPORTED || e == ERR_NOMEM);
    assert((e == OK) == (why.text[0] == '\0'));
    if (e == OK) {
        check_records(&found, file);
        check_again(&found);
        checkpoint_fini(&found);
    }
    assert(budget_used(&memory) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t magic[8] = {'F', 'K', 'R', 'S', 'T', 'A', 'T', 'E'};
    struct buf framed;
    decode(bytes_of(data, size));
    buf_init(&framed, NULL, size + FRAMED_HEADER_BYTES + 64);
    framed_begin(&framed);
    buf_put(&framed, data, size);
    framed_end(&framed, magic, 1);
    decode(buf_bytes(&framed));
    buf_fini(&framed);
    return 0;
}
