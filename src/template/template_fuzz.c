/* template_fuzz.c - expands arbitrary text as a template, with a query that returns two samples, of
 * floats and of histograms. It ends within its limits, and each error has a sentence. */
#include <assert.h>

#include "model/fhist/fhist.h"
#include "template/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int32_t indexes[] = {-1, 2};
static double counts[] = {1, 2.5};
static const struct fhist histogram = {
    .count = 3.5, .sum = -0.5, .positive = {indexes, counts, NULL, 2, 2}};

static enum err
query(void *context, struct bytes expression,
      enum err (*each)(void *to, const struct template_sample *sample), void *to, struct why *why)
{
    static const uint8_t labels[] = {0x0a, 6, 0x0a, 1, 'n', 0x12, 1, 'a'};
    const struct template_sample sample = {bytes_of(labels, sizeof labels), double_bits(1.5),
                                           context};
    if (expression.size == 0) return why_set(why, ERR_INPUT, "no expression found in input");
    for (unsigned i = 0; i < 2; i++) {
        enum err e = each(to, &sample);
        if (e) return e;
    }
    return OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct template_options options = {.name = bytes_of_text("__alert_X"), .query = {query}};
    const struct label labels[] = {{bytes_of_text("job"), bytes_of_text("node")},
                                   {bytes_of_text("a"), bytes_of_text("")}};
    struct template_data alert = {.labels = labels,
                                  .label_count = 2,
                                  .external_url = bytes_of_text("http://h/p"),
                                  .value = double_bits(42.5)};
    struct why why = {.text = ""};
    struct buf to;
    buf_init(&to, NULL, TEMPLATE_OUTPUT_BYTES_MAX);
    enum err checked = template_check(&options, bytes_of(data, size), &why);
    assert(checked == OK ||
           (why.text[0] != '\0' && (checked == ERR_INPUT || checked == ERR_LIMIT)));
    for (int i = 0; i < 2; i++) {
        alert.histogram = i == 0 ? NULL : &histogram;
        options.query.context = (void *)(uintptr_t)alert.histogram;
        why.text[0] = '\0';
        buf_clear(&to);
        enum err e = template_expand(&options, bytes_of(data, size), &alert, &to, &why);
        assert(e == OK || e == ERR_INPUT || e == ERR_LIMIT);
        assert(e == OK || (to.size == 0 && why.text[0] != '\0'));
        assert(checked == OK || e == checked);
    }
    buf_fini(&to);
    return 0;
}
