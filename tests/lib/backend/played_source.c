/* played_source.c - see played_source.h. */
#include "lib/backend/played_source.h"

#include <stdio.h>
#include <string.h>

#include "lib/test.h"
#include "model/selector.h"

enum { TEXT_BYTES_MAX = 4 << 20, TEXT_BYTES = 64 * 1024 };

void
played_init(struct played_source *rig, enum source_type type)
{
    memset(rig, 0, sizeof *rig);
    for (unsigned i = 0; i < ANSWERS_MAX; i++)
        buf_init(&rig->answers[i], NULL, TEXT_BYTES_MAX);
    rig->settings = (struct source_settings){.name = "test",
                                             .type = type,
                                             .timeout_ms = 5000,
                                             .max_concurrent = 4,
                                             .http.proxy_url = ""};
    rig->make = reader_new;
    rig->path = "";
    budget_init(&rig->memory, "source", 0, NULL);
    budget_init(&rig->budget, "query", 0, NULL);
    rig->control = (struct query_control){.env = env_real(), .budget = &rig->budget};
    rig->request = (struct query_request){.max_ms = PLAYED_MAX_MS, .control = &rig->control};
}

struct buf *
played_answer(struct played_source *rig, const char *text)
{
    struct buf *to = &rig->answers[rig->count++];
    buf_put_text(to, text);
    return to;
}

void
played_answers(struct played_source *rig, unsigned count, const char *const *texts)
{
    for (unsigned i = 0; i < count; i++)
        played_answer(rig, texts[i]);
}

/* Makes the reader with each of its allocations failing, once in a program. */
static void
make_without_memory(struct played_source *rig, const struct reader_options *options)
{
    static bool is_done;
    for (uint64_t nth = 1; !is_done; nth++) {
        mem_fail_nth(nth, false);
        enum err e = rig->make(options, &rig->reader, &rig->why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        is_done = !fired;
        if (e == OK) rig->reader->ops->free(rig->reader);
        if (e != OK) assert_int_equal(e, ERR_NOMEM);
        if (e != OK) assert_non_null(strstr(rig->why.text, "memory"));
        assert_int_equal(budget_used(&rig->memory), 0);
    }
}

void
played_start(struct played_source *rig)
{
    const char *texts[ANSWERS_MAX];
    size_t sizes[ANSWERS_MAX];
    for (unsigned i = 0; i < rig->count; i++) {
        sizes[i] = rig->answers[i].size;
        buf_put_u8(&rig->answers[i], 0);
        texts[i] = (const char *)rig->answers[i].at;
    }
    player_start_sized(&rig->player, rig->count, texts, sizes);
    int size = (int)(strrchr(rig->player.url, '/') - rig->player.url);
    snprintf(rig->url, sizeof rig->url, "%.*s%s", size, rig->player.url, rig->path);
    assert_int_equal(http_puller_new(env_real(), "test/1", &rig->puller, NULL), OK);
    struct reader_options options = {env_real(), &rig->memory, &rig->settings, rig->puller,
                                     &rig->counts};
    make_without_memory(rig, &options);
    assert_int_equal(rig->make(&options, &rig->reader, &rig->why), OK);
    assert_int_equal(view_open(rig->reader, &rig->control, &rig->view, &rig->why), OK);
}

void
played_stop(struct played_source *rig)
{
    view_free(rig->view);
    assert_int_equal(budget_used(&rig->budget), 0);
    rig->reader->ops->free(rig->reader);
    assert_int_equal(budget_used(&rig->memory), 0);
    http_puller_free(rig->puller);
    player_stop(&rig->player);
    for (unsigned i = 0; i < ANSWERS_MAX; i++)
        buf_fini(&rig->answers[i]);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void
print_batch(const struct played_source *rig, struct buf *to, const struct sample_batch *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        buf_printf(to, " %lld:", (long long)(b->times_ms[i] - rig->shown_from_ms));
        if (b->value_bits == NULL)
            buf_put_text(to, "h");
        else
            buf_printf(to, "%llx", (unsigned long long)b->value_bits[i]);
        if (b->starts_ms != NULL && b->starts_ms[i] != 0)
            buf_printf(to, "@%lld", (long long)b->starts_ms[i]);
    }
}

static enum err
print_set(struct played_source *rig, struct series_set *set, struct buf *to)
{
    struct bytes labels;
    const char *sentence;
    for (;;) {
        struct sample_batch batch = {.count = 0};
        enum err e = series_set_next(set, &labels, &rig->why);
        if (e) return e;
        if (labels.at == NULL) break;
        assert_true(labels_valid(labels));
        labels_print_selector(to, labels);
        do {
            e = series_set_batch(set, &batch, &rig->why);
            if (e) return e;
            print_batch(rig, to, &batch);
        } while (batch.count > 0);
        buf_put_u8(to, '\n');
    }
    for (uint32_t i = 0; (sentence = series_set_warning(set, i)) != NULL; i++)
        buf_printf(to, "warning: %s\n", sentence);
    return OK;
}

/* A question with the matchers of a selector, if one is given. */
struct parsed_question {
    struct selector selector;
    struct matcher_set set;
    struct query_request request;
};

static void
parse(struct played_source *rig, const char *selector, struct parsed_question *ret)
{
    *ret = (struct parsed_question){.request = rig->request};
    rig->why.text[0] = '\0';
    if (selector == NULL) return;
    assert_int_equal(selector_parse(bytes_of_text(selector), &ret->selector, NULL), OK);
    ret->set = (struct matcher_set){ret->selector.matchers, ret->selector.count};
    ret->request.sets = &ret->set;
    ret->request.set_count = 1;
}

static enum err
read_parsed(struct played_source *rig, const struct parsed_question *question, struct buf *to)
{
    struct series_set *set;
    enum err e = view_select(rig->view, &question->request, &set, &rig->why);
    if (e) return e;
    e = print_set(rig, set, to);
    series_set_free(set);
    return e;
}

enum err
played_read(struct played_source *rig, const char *selector, struct buf *to)
{
    struct parsed_question question;
    parse(rig, selector, &question);
    rig->error = read_parsed(rig, &question, to);
    if (selector != NULL) selector_fini(&question.selector);
    buf_put_u8(to, 0);
    return rig->error;
}

void
played_expect_read(struct played_source *rig, const char *selector, const char *expected)
{
    struct buf text;
    buf_init(&text, NULL, TEXT_BYTES_MAX);
    enum err e = played_read(rig, selector, &text);
    if (e) fail_msg("%s: %s", err_word(e), rig->why.text);
    assert_string_equal((const char *)text.at, expected);
    buf_fini(&text);
}

void
played_expect_failure(struct played_source *rig, const char *selector, enum err expected,
                      const char *words)
{
    struct buf text;
    buf_init(&text, NULL, TEXT_BYTES_MAX);
    enum err e = played_read(rig, selector, &text);
    if (strstr(rig->why.text, words) == NULL) assert_string_equal(rig->why.text, words);
    assert_int_equal(e, expected);
    buf_fini(&text);
}

void
played_expect_trouble(const struct played_source *rig, enum trouble trouble)
{
    assert_string_equal(trouble_word(trouble_of(&rig->why, rig->error)), trouble_word(trouble));
}

void
played_expect_asked(const struct played_source *rig, const char *words)
{
    if (strstr(rig->player.seen, words) == NULL) assert_string_equal(rig->player.seen, words);
}

/* --- look-ups --------------------------------------------------------------------------------- */

static enum err
put_text(void *context, struct bytes text)
{
    assert_non_null(text.at);
    buf_put_bytes(context, text);
    buf_put_u8(context, ';');
    return OK;
}

static enum err
put_series(void *context, struct bytes labels)
{
    assert_true(labels_valid(labels));
    labels_print(context, labels);
    buf_put_u8(context, ';');
    return OK;
}

static enum err
put_warning(void *context, const char *sentence)
{
    buf_printf(context, "warning: %s;", sentence);
    return OK;
}

enum err
played_look_up(struct played_source *rig, const char *selector, const char *what, struct buf *to)
{
    struct parsed_question question;
    bool of_series = what != NULL && what[0] == '\0';
    const struct text_sink sink = {of_series ? put_series : put_text, to, put_warning};
    parse(rig, selector, &question);
    const struct query_request *r = &question.request;
    rig->error = what == NULL ? view_label_names(rig->view, r, &sink, &rig->why)
                 : of_series
                     ? view_series(rig->view, r, &sink, &rig->why)
                     : view_label_values(rig->view, r, bytes_of_text(what), &sink, &rig->why);
    if (selector != NULL) selector_fini(&question.selector);
    buf_put_u8(to, 0);
    return rig->error;
}

void
played_expect_looked_up(struct played_source *rig, const char *selector, const char *what,
                        const char *expected)
{
    struct buf text;
    buf_init(&text, NULL, TEXT_BYTES_MAX);
    enum err e = played_look_up(rig, selector, what, &text);
    if (e) fail_msg("%s: %s", err_word(e), rig->why.text);
    assert_string_equal((const char *)text.at, expected);
    buf_fini(&text);
}

/* --- memory ----------------------------------------------------------------------------------- */

void
played_fail_allocations(void (*start)(struct played_source *rig, unsigned variant),
                        unsigned variant, const char *selector, const char *expected,
                        unsigned others)
{
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        struct played_source rig;
        struct parsed_question question;
        struct buf text;
        start(&rig, variant);
        parse(&rig, selector, &question);
        buf_init(&text, NULL, TEXT_BYTES_MAX);
        assert_true(buf_reserve(&text, TEXT_BYTES));
        mem_fail_nth(nth, false);
        enum err e = read_parsed(&rig, &question, &text);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        buf_put_u8(&text, 0);
        if (e == OK) assert_string_equal((const char *)text.at, expected);
        if (!fired) assert_int_equal(e, OK);
        if (e != OK && e != ERR_NOMEM && (others & 1u << e) == 0)
            fail_msg("allocation %llu: %s: %s", (unsigned long long)nth, err_word(e), rig.why.text);
        if (e) assert_true(rig.why.text[0] != '\0');
        if (selector != NULL) selector_fini(&question.selector);
        buf_fini(&text);
        played_stop(&rig);
    }
}
