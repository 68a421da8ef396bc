/* notify_alerts.c - see notify_alerts.h. */
#include "lib/notify/notify_alerts.h"

void
put_alert_labels(struct buf *to, const char *name, const char *const *more)
{
    static const struct labels_limits limits = {64, 1 << 16, 1 << 16};
    struct label labels[64];
    uint32_t count = 0;
    labels[count++] = (struct label){bytes_of_text("alertname"), bytes_of_text(name)};
    for (; more != NULL && *more != NULL; more += 2)
        labels[count++] = (struct label){bytes_of_text(more[0]), bytes_of_text(more[1])};
    assert_int_equal(labels_build(labels, count, &limits, to), REJECT_NONE);
}

struct encoded_alert *
made_alert(struct budget *memory, const char *name, int64_t starts_ms, int64_t ends_ms)
{
    const struct alert_encoding encoding = {.memory = memory, .seed = 1, .external_url = ""};
    const struct alert_notice notice = {.starts_ns = starts_ms * NS_PER_MS,
                                        .ends_ns = ends_ms * NS_PER_MS};
    struct buf labels, scratch;
    struct encoded_alert *alert;
    buf_init(&labels, NULL, 1 << 16);
    buf_init(&scratch, NULL, 1 << 16);
    put_alert_labels(&labels, name, NULL);
    assert_int_equal(encoded_alert_new(&encoding, buf_bytes(&labels), &notice, &scratch, &alert),
                     OK);
    buf_fini(&labels);
    buf_fini(&scratch);
    return alert;
}

int64_t
alert_time_of(const json_t *alert, const char *key)
{
    int64_t ms;
    const char *text = json_string_value(json_object_get(alert, key));
    assert_non_null(text);
    assert_true(time_parse_rfc3339(bytes_of_text(text), &ms));
    return ms;
}

const char *
alert_name_of(const json_t *alert)
{
    return json_string_value(json_object_get(json_object_get(alert, "labels"), "alertname"));
}

void
alerts_text(struct bytes body, char *to, size_t size)
{
    json_t *list = json_loadb((const char *)body.at, body.size, 0, NULL);
    size_t at = 0;
    assert_true(json_is_array(list));
    to[0] = '\0';
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *alert = json_array_get(list, i);
        at += (size_t)snprintf(to + at, size - at, "%s%s:%lld", i > 0 ? " " : "",
                               alert_name_of(alert), (long long)alert_time_of(alert, "startsAt"));
        assert_true(at < size);
    }
    json_decref(list);
}
