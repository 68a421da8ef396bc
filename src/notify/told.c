/* told.c - see told.h. Alertmanager's API v2, postableAlert. */
#include "notify/told.h"

#include "base/hash.h"
#include "base/hex.h"
#include "base/time_text.h"

/* As Go's url.QueryEscape: what percent-encoding leaves as it is, but a blank is a plus. */
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
    buf_init(&url, json->to->budget, TOLD_BYTES_MAX);
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
told_new(const struct told_making *making, struct bytes labels, const struct alert_notice *notice,
         struct buf *scratch, struct told **ret_told)
{
    int64_t ends_ms = notice->ends_ns / NS_PER_MS;
    buf_clear(scratch);
    put_alert(scratch, labels, notice, making->external_url);
    if (buf_error(scratch)) return buf_error(scratch);
    if (scratch->size > TOLD_BYTES_MAX || labels.size > TOLD_BYTES_MAX) return ERR_LIMIT;
    struct told *told = mem_alloc(making->memory, sizeof *told + labels.size + scratch->size);
    if (told == NULL) return ERR_NOMEM;
    *told = (struct told){
        .memory = making->memory,
        .refs = 1,
        .labels_bytes = (uint32_t)labels.size,
        .json_bytes = (uint32_t)scratch->size,
        .expires_ms = TOLD_KEPT_MS + (ends_ms > making->now_ms ? ends_ms : making->now_ms),
        .hash = hash_bytes(labels, making->seed),
    };
    if (labels.size > 0) memcpy(told->bytes, labels.at, labels.size);
    memcpy(told->bytes + labels.size, scratch->at, scratch->size);
    *ret_told = told;
    return OK;
}

struct told *
told_ref(struct told *told)
{
    atomic_fetch_add_explicit(&told->refs, 1, memory_order_relaxed);
    return told;
}

void
told_unref(struct told *told)
{
    if (told == NULL) return;
    if (atomic_fetch_sub_explicit(&told->refs, 1, memory_order_acq_rel) > 1) return;
    mem_free(told->memory, told, sizeof *told + told->labels_bytes + told->json_bytes);
}
