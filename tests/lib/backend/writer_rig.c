/* writer_rig.c - see writer_rig.h. */
#include "lib/backend/writer_rig.h"

void
rig_init(struct writer_rig *rig, const struct writer_class *class)
{
    memset(rig, 0, sizeof *rig);
    assert_int_equal(sim_env_new(1, &rig->sim), OK);
    rig->class = class;
    rig->settings.type = class->type;
    rig->settings.name = "test";
    rig->settings.timeout_ms = 30000;
    budget_init(&rig->memory, "test", 0, NULL);
    buf_init(&rig->labels, NULL, 1 << 25);
    buf_init(&rig->saved, NULL, 1 << 16);
}

void
rig_open(struct writer_rig *rig)
{
    struct writer_options options = {
        .env = sim_env_env(rig->sim),
        .memory = &rig->memory,
        .settings = &rig->settings,
        .instance = "0123456789abcdef",
        .saved = buf_bytes(&rig->saved),
    };
    assert_int_equal(writer_new(rig->class, &options, &rig->writer, &rig->why), OK);
    assert_int_equal(writer_call_new(rig->class, rig->writer, &rig->call), OK);
    rig->class->call_clear(rig->writer, rig->call);
}

void
rig_close(struct writer_rig *rig)
{
    writer_call_free(rig->class, rig->writer, rig->call);
    writer_free(rig->class, rig->writer);
    assert_int_equal(budget_used(&rig->memory), 0);
}

void
rig_fini(struct writer_rig *rig)
{
    rig_close(rig);
    buf_fini(&rig->labels);
    buf_fini(&rig->saved);
    sim_env_free(rig->sim);
}

struct item
rig_item(struct writer_rig *rig, const char *name, ...)
{
    va_list args;
    buf_clear(&rig->labels);
    va_start(args, name);
    for (; name != NULL; name = va_arg(args, const char *))
        test_put_texts(&rig->labels, name, va_arg(args, const char *));
    va_end(args);
    return (struct item){
        .kind = ITEM_FLOAT,
        .labels = buf_bytes(&rig->labels),
        .t_ms = RIG_T_MS,
        .bits = double_bits(1),
    };
}

enum writer_add
rig_add(struct writer_rig *rig, const struct item *item)
{
    uint32_t entry = UINT32_MAX;
    rig->why.text[0] = 0;
    return rig->class->add(rig->writer, rig->call, item, &entry, &rig->why);
}

uint32_t
rig_must_add(struct writer_rig *rig, const struct item *item)
{
    uint32_t entry = UINT32_MAX;
    enum writer_add added = rig->class->add(rig->writer, rig->call, item, &entry, &rig->why);
    if (added != WRITER_ADDED) fail_msg("added %d: %s", added, rig->why.text);
    return entry;
}

struct writer_step
rig_begin(struct writer_rig *rig)
{
    struct writer_step step = {.next = WRITER_DONE};
    rig->class->begin(rig->writer, rig->call, &step);
    return step;
}

struct writer_step
rig_send(struct writer_rig *rig)
{
    struct writer_step step = rig_begin(rig);
    if (step.next != WRITER_SEND) fail_msg("not sent: %s: %s", step.reason, step.answer);
    return step;
}

struct http_call_answer
answer_of(unsigned status, const char *body)
{
    return (struct http_call_answer){.status = status, .body = bytes_of_text(body)};
}

struct writer_step
rig_judge(struct writer_rig *rig, const struct http_call_answer *answer)
{
    struct writer_step step = {.next = WRITER_SEND};
    rig->class->judge(rig->writer, rig->call, answer, &step);
    assert_int_equal(step.next, WRITER_DONE);
    return step;
}

struct writer_step
rig_answer(struct writer_rig *rig, unsigned status, const char *body)
{
    struct http_call_answer answer = answer_of(status, body);
    return rig_judge(rig, &answer);
}

struct writer_entry
rig_entry(struct writer_rig *rig, uint32_t number)
{
    struct writer_entry entry;
    rig->class->entry(rig->writer, rig->call, number, &entry);
    return entry;
}

const char *
header_of(const struct writer_step *step, const char *name)
{
    size_t size = strlen(name);
    for (unsigned i = 0; step->http.headers[i] != NULL; i++) {
        const char *line = step->http.headers[i];
        if (strncmp(line, name, size) == 0 && line[size] == ':') return line + size + 2;
    }
    return NULL;
}

void
expect_in(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) fail_msg("'%s' has no '%s'", text, part);
}
