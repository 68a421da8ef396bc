/* timestream_example.c - see timestream_example.h. */
#include "lib/backend/timestream_example.h"

/* Puts columns as DESCRIBE returns them: dimensions, up to NULL, and those of all tables that
 * Firekeep creates. */
static void
put_columns(struct buf *to, const char *const *dimensions)
{
    static const char *const others[][2] = {{"measure_name", "MEASURE_NAME"},
                                            {"time", "TIMESTAMP"},
                                            {"measure_value::double", "MEASURE_VALUE"},
                                            {"measure_value::varchar", "MEASURE_VALUE"}};
    for (size_t i = 0; dimensions[i] != NULL; i++) {
        columns_put(to, (struct bytes[]){bytes_of_text(dimensions[i]), bytes_of_text("varchar"),
                                         bytes_of_text("DIMENSION")});
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        columns_put(to, (struct bytes[]){bytes_of_text(others[i][0]), bytes_of_text("varchar"),
                                         bytes_of_text(others[i][1])});
    }
}

enum err
timestream_example_init(struct timestream_example *t, enum timestream_schema schema,
                        const char *const *dimensions, const char *selector)
{
    memset(t, 0, sizeof *t);
    t->settings.u.timestream = (struct timestream_read_settings){
        .database = "me\"trics", .table = "prom", .schema = schema};
    t->reader.base.options.settings = &t->settings;
    budget_init(&t->budget, "test", 0, NULL);
    t->q.base.of = &t->reader.base;
    t->q.base.budget = &t->budget;
    t->q.base.min_ms = 1000;
    t->q.base.max_ms = 1999;
    arena_init(&t->q.base.arena, NULL, 1 << 20, 0);
    assert_int_equal(selector_parse(bytes_of_text(selector), &t->selector, NULL), OK);
    t->q.base.matchers = t->selector.matchers;
    t->q.base.matcher_count = t->selector.count;
    buf_init(&t->kept, NULL, 1 << 20);
    put_columns(&t->kept, dimensions);
    return columns_take(&t->q.columns, buf_bytes(&t->kept), &t->settings.u.timestream,
                        &t->q.base.arena, &t->why);
}

void
timestream_example_fini(struct timestream_example *t)
{
    arena_fini(&t->q.base.arena);
    assert_int_equal(budget_used(&t->budget), 0);
    selector_fini(&t->selector);
    buf_fini(&t->kept);
}
