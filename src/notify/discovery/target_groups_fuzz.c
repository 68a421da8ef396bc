/* target_groups_fuzz.c - reads any text as a list of targets, in JSON or, if its first byte is odd,
 * in YAML: it is refused with a sentence, or gives targets whose labels are canonical. */
#include <assert.h>

#include "base/text/utf8.h"
#include "notify/discovery/discovery.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_targets(const struct targets *targets)
{
    assert(targets->count <= TARGETS_MAX);
    for (uint32_t i = 0; i < targets->count; i++) {
        assert(labels_valid(targets->items[i]));
        struct bytes found = labels_get(targets->items[i], bytes_of_text("__meta_filepath"));
        assert(bytes_equal_text(found, "fuzz"));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct label meta = {bytes_of_text("__meta_filepath"), bytes_of_text("fuzz")};
    struct budget budget;
    struct targets targets;
    struct why why = {""};
    if (size == 0) return 0;
    struct bytes text = bytes_of(data + 1, size - 1);
    budget_init(&budget, "fuzz", 64 << 20, NULL);
    targets_init(&targets, &budget);
    enum err e = (data[0] & 1) == 1 ? target_groups_yaml("fuzz", text, meta, &targets, &why)
                                    : target_groups_json("fuzz", text, meta, &targets, &why);
    assert(e == OK || e == ERR_INPUT || e == ERR_LIMIT || e == ERR_NOMEM);
    if (e) assert(why.text[0] != '\0');
    check_targets(&targets);
    targets_fini(&targets);
    assert(budget_used(&budget) == 0);
    return 0;
}
