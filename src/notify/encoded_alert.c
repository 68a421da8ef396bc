/* encoded_alert.c - see notify_private.h. Alertmanager's API v2, postableAlert. */
#include "notify/notify_private.h"

#include <assert.h>

#include "base/hash/hash.h"
#include "base/text/hex.h"
#include "base/text/time_text.h"

/* Escapes like Go's url.QueryEscape: percent-encoding, but a blank becomes a plus. */
static void
put_query_escaped(struct buf *to, struct bytes text)
{
    for (size_t at = 0; at < text.size;) {
        const uint8_t *begin = text.at + at;
        const uint8_t *blank = memchr(begin, ' ', text.size - at);
        size_t size = blank == NULL ? text.size - at : (size_t)(blank - begin);
        buf_put_percent(to, bytes_of(begin, size), "");
        if (blank != NULL) buf_put_u8(to, '+');
        at += size + (blank != NULL);
    }
}

static void
put_generator(struct json *json, const char *external_url, struct bytes expression)
{
    struct buf url;
    buf_init(&url, json->to->budget, ENCODED_ALERT_BYTES_MAX);
    buf_put_text(&url, external_url);
    buf_put_text(&url, "/graph?g0.expr=");
    put_query_escaped(&url, expression);
    buf_put_text(&url, "&g0.tab=1");
    if (buf_error(&url) == OK)
        json_member_bytes(json, "generatorURL", buf_bytes(&url));
    else
        json->to->failed = buf_error(&url);
    buf_fini(&url);
}

static void
put_alert(struct buf *to, struct bytes labels, const struct alert_notice *notice,
          const char *external_url)
{
    char text[TIME_TEXT_BYTES];
    struct json json;
    json_init(&json, to);
    json_object_open(&json);
    json_key(&json, "labels");
    labels_put_json(&json, labels);
    if (notice->annotation_count > 0) {
        json_member_object(&json, "annotations");
        for (uint32_t i = 0; i < notice->annotation_count; i++) {
            json_key_bytes(&json, notice->annotations[i].name);
            json_put_bytes(&json, notice->annotations[i].value);
        }
        json_object_close(&json);
    }
    json_member_text(&json, "startsAt", time_print(notice->starts_ns / NS_PER_MS, text));
    json_member_text(&json, "endsAt", time_print(notice->ends_ns / NS_PER_MS, text));
    if (external_url[0] != '\0' && external_url[0] != '/')
        put_generator(&json, external_url, notice->expression);
    json_object_close(&json);
}

enum err
encoded_alert_new(const struct alert_encoding *encoding, struct bytes labels,
                  const struct alert_notice *notice, struct buf *scratch,
                  struct encoded_alert **ret_alert)
{
    int64_t ends_ms = notice->ends_ns / NS_PER_MS;
    buf_clear(scratch);
    put_alert(scratch, labels, notice, encoding->external_url);
    if (buf_error(scratch)) return buf_error(scratch);
    if (scratch->size > ENCODED_ALERT_BYTES_MAX || labels.size > ENCODED_ALERT_BYTES_MAX)
        return ERR_LIMIT;
    struct encoded_alert *alert =
        mem_alloc(encoding->memory, sizeof *alert + labels.size + scratch->size);
    if (alert == NULL) return ERR_NOMEM;
    *alert = (struct encoded_alert){
        .memory = encoding->memory,
        .refs = 1,
        .labels_bytes = (uint32_t)labels.size,
        .json_bytes = (uint32_t)scratch->size,
        .expires_ms =
            ENCODED_ALERT_KEPT_MS + (ends_ms > encoding->now_ms ? ends_ms : encoding->now_ms),
        .hash = hash_bytes(labels, encoding->seed),
    };
    if (labels.size > 0) memcpy(alert->bytes, labels.at, labels.size);
    memcpy(alert->bytes + labels.size, scratch->at, scratch->size);
    *ret_alert = alert;
    return OK;
}

struct encoded_alert *
encoded_alert_ref(struct encoded_alert *alert)
{
    uint32_t before = atomic_fetch_add_explicit(&alert->refs, 1, memory_order_relaxed);
    assert(before > 0);
    return alert;
}

void
encoded_alert_unref(struct encoded_alert *alert)
{
    if (alert == NULL) return;
    uint32_t before = atomic_fetch_sub_explicit(&alert->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) return;
    mem_free(alert->memory, alert, sizeof *alert + alert->labels_bytes + alert->json_bytes);
}
