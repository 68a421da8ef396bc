/*
 * templaterun.c - expands templates of alerts, for tests that compare them with those of others.
 *
 *     templaterun [OPTION...] < TEMPLATES
 *
 * Templates end in a NUL byte. Each answer is a line "WORD SIZE" and SIZE bytes with a line feed
 * after them: the text, if WORD is ok, else the error's sentence; WORD is input, limit, ....
 *
 *     --name=NAME           in sentences; default: __alert_X
 *     --label=NAME=VALUE    one of $labels
 *     --external=NAME=VALUE one of $externalLabels
 *     --url=URL             $externalURL
 *     --value=NUMBER        $value; default: 0
 *     --histogram=TEXT      $value instead, and a sample of the query h, as `test rules` takes it:
 *                           {{schema:0 count:1 ...}}
 *     --time=MS             the value of `now`; default: 0
 *     --sample=LABELS=NUMBER  a sample; LABELS is NAME,NAME=VALUE,..., with the metric's name first
 *     --check               parses only
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "promql/testseries/notation.h"
#include "template/template.h"
#include "wire/number.h"

enum { LIST_MAX = 64, INPUT_BYTES_MAX = 256 << 20 };

struct sample {
    struct bytes name;
    struct buf labels;
    uint64_t value;
    const struct fhist *histogram;
};

struct setting {
    struct template_options options;
    struct template_data data;
    struct label labels[LIST_MAX], external[LIST_MAX];
    struct sample samples[LIST_MAX];
    unsigned sample_count;
    struct arena arena; /* memory of the histogram */
    bool check;
};

static _Noreturn void
give_up(const char *what)
{
    (void)fprintf(stderr, "templaterun: %s\n", what);
    exit(2);
}

/* Reads NAME=VALUE. */
static struct label
label_of(struct bytes text)
{
    const uint8_t *equals = memchr(text.at, '=', text.size);
    if (equals == NULL) give_up("expected NAME=VALUE");
    size_t size = (size_t)(equals - text.at);
    return (struct label){bytes_of(text.at, size), bytes_of(equals + 1, text.size - size - 1)};
}

static void
add_label(struct label *list, uint32_t *count, const char *text)
{
    if (*count == LIST_MAX) give_up("too many labels");
    list[(*count)++] = label_of(bytes_of_text(text));
}

static uint64_t
number_of(const char *text)
{
    uint64_t bits;
    if (!number_parse(text, strlen(text), &bits)) give_up("expected a number");
    return bits;
}

static void
add_sample(struct setting *s, const char *text)
{
    const struct labels_limits limits = {LIST_MAX, 1 << 16, 1 << 16};
    struct label list[LIST_MAX];
    uint32_t count = 0;
    const char *number = strrchr(text, '=');
    if (number == NULL || s->sample_count == LIST_MAX) give_up("expected LABELS=NUMBER");
    struct sample *sample = &s->samples[s->sample_count++];
    sample->value = number_of(number + 1);
    for (const char *at = text; at < number && count < LIST_MAX;) {
        size_t size = strcspn(at, ",");
        if (at + size > number) size = (size_t)(number - at);
        struct bytes part = bytes_of(at, size);
        if (count == 0) sample->name = part;
        list[count] = count == 0 ? (struct label){bytes_of_text("__name__"), part} : label_of(part);
        count++;
        at += size + 1;
    }
    buf_init(&sample->labels, NULL, 1 << 16);
    if (labels_build(list, count, &limits, &sample->labels) != REJECT_NONE) give_up("bad labels");
}

/* Sets the histogram from TEXT. */
static void
set_histogram(struct setting *s, const char *text)
{
    struct notation series;
    struct buf all, error;
    buf_init(&all, NULL, NOTATION_BYTES_MAX);
    buf_init(&error, NULL, 1 << 16);
    buf_printf(&all, "h %s", text);
    if (notation_parse(buf_bytes(&all), 1, &s->arena, &series, &error) || series.item_count != 1)
        give_up("expected one histogram");
    /* Keeps the histogram as one that followed equal ones. */
    struct fhist *h = fhist_keep(&s->arena, series.items[0].histogram);
    if (h == NULL) give_up("not enough memory");
    if (h->hint != RESET_GAUGE) h->hint = RESET_NO;
    s->data.histogram = h;
    add_sample(s, "h,n=x=0");
    s->samples[s->sample_count - 1].histogram = s->data.histogram;
    buf_fini(&error);
    buf_fini(&all);
}

static enum err
query(void *context, struct bytes expression,
      enum err (*each)(void *to, const struct template_sample *sample), void *to, struct why *why)
{
    const struct setting *s = context;
    if (bytes_equal_text(expression, "bad("))
        return why_set(why, ERR_INPUT, "1:5: parse error: unclosed left parenthesis");
    for (unsigned i = 0; i < s->sample_count; i++) {
        const struct sample *from = &s->samples[i];
        if (!bytes_equal(from->name, expression)) continue;
        const struct template_sample sample = {buf_bytes(&from->labels), from->value,
                                               from->histogram};
        enum err e = each(to, &sample);
        if (e) return e;
    }
    return OK;
}

static void
read_option(struct setting *s, const char *option)
{
    const char *equals = strchr(option, '=');
    size_t size = equals == NULL ? strlen(option) : (size_t)(equals - option);
    struct bytes name = bytes_of(option, size);
    const char *text = equals == NULL ? "" : equals + 1;
    if (bytes_equal_text(name, "--check"))
        s->check = true;
    else if (bytes_equal_text(name, "--name"))
        s->options.name = bytes_of_text(text);
    else if (bytes_equal_text(name, "--label"))
        add_label(s->labels, &s->data.label_count, text);
    else if (bytes_equal_text(name, "--external"))
        add_label(s->external, &s->data.external_count, text);
    else if (bytes_equal_text(name, "--url"))
        s->data.external_url = bytes_of_text(text);
    else if (bytes_equal_text(name, "--value"))
        s->data.value = number_of(text);
    else if (bytes_equal_text(name, "--histogram"))
        set_histogram(s, text);
    else if (bytes_equal_text(name, "--time"))
        s->data.time_ms = strtoll(text, NULL, 10);
    else if (bytes_equal_text(name, "--sample"))
        add_sample(s, text);
    else
        give_up("unknown option; the comment in its source lists them");
}

static void
answer(struct setting *s, struct bytes text)
{
    struct buf to;
    struct why why = {.text = ""};
    buf_init(&to, NULL, TEMPLATE_OUTPUT_BYTES_MAX);
    enum err e = s->check ? template_check(&s->options, text, &why)
                          : template_expand(&s->options, text, &s->data, &to, &why);
    struct bytes said = e == OK ? buf_bytes(&to) : bytes_of_text(why_text(&why, e));
    (void)printf("%s %zu\n", e == OK ? "ok" : err_word(e), said.size);
    if (said.size > 0) (void)fwrite(said.at, 1, said.size, stdout);
    (void)fputc('\n', stdout);
    buf_fini(&to);
}

int
main(int argc, char **argv)
{
    static struct setting s;
    static uint8_t chunk[1 << 16];
    struct buf in;
    s.options = (struct template_options){.name = bytes_of_text("__alert_X"), .query = {query, &s}};
    s.data.labels = s.labels;
    s.data.external_labels = s.external;
    arena_init(&s.arena, NULL, 0, 0);
    for (int i = 1; i < argc; i++)
        read_option(&s, argv[i]);
    buf_init(&in, NULL, INPUT_BYTES_MAX);
    for (size_t size; (size = fread(chunk, 1, sizeof chunk, stdin)) > 0;)
        buf_put(&in, chunk, size);
    for (size_t at = 0; at < in.size;) {
        const uint8_t *end = memchr(in.at + at, 0, in.size - at);
        size_t size = end == NULL ? in.size - at : (size_t)(end - in.at) - at;
        answer(&s, bytes_of(in.at + at, size));
        at += size + 1;
    }
    buf_fini(&in);
    arena_fini(&s.arena);
    for (unsigned i = 0; i < s.sample_count; i++)
        buf_fini(&s.samples[i].labels);
    return fflush(stdout) == 0 ? 0 : 1;
}
