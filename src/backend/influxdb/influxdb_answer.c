/* influxdb_answer.c - see influxdb_answer.h. */
#include "backend/influxdb/influxdb_answer.h"

#include <jansson.h>
#include <string.h>

static bool
says(struct bytes text, const char *words)
{
    return memmem(text.at, text.size, words, strlen(words)) != NULL;
}

/* The text after the first `before`; false if there is none. */
static bool
find_after(struct bytes text, const char *before, struct bytes *ret_rest)
{
    size_t size = strlen(before);
    const uint8_t *at = memmem(text.at, text.size, before, size);
    if (at == NULL) return false;
    at += size;
    *ret_rest = bytes_of(at, (size_t)(text.at + text.size - at));
    return true;
}

/* The last number counts: labels may come before it. */
static uint64_t
read_dropped(struct bytes text)
{
    uint64_t count = 0;
    bool found = false;
    while (find_after(text, "dropped=", &text)) {
        found = true;
    }
    if (!found || text.size == 0) return 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '9') return 0;
        if (count <= UINT32_MAX) count = 10 * count + (uint64_t)(text.at[i] - '0');
    }
    return count;
}

static void
take_text(struct influxdb_refusal *refusal, struct bytes text)
{
    /* not shown: searched for in responses */
    static const char partial[] = "partial write: ", shard[] = "partial write: shard ";
    struct bytes rest;
    if (!find_after(text, partial, &rest)) return;
    refusal->dropped = read_dropped(rest);
    refusal->by_series = says(rest, "max-series-per-database");
    refusal->passes = says(text, shard) && says(rest, " is pending deletion");
}

static struct bytes
text_of(const json_t *json)
{
    if (!json_is_string(json)) return bytes_of("", 0);
    return bytes_of(json_string_value(json), json_string_length(json));
}

void
influxdb_answer_read(struct bytes body, struct influxdb_refusal *ret_refusal)
{
    *ret_refusal = (struct influxdb_refusal){.dropped = 0};
    json_t *root = json_loadb(body.at == NULL ? "" : (const char *)body.at, body.size, 0, NULL);
    take_text(ret_refusal, text_of(json_object_get(root, "error")));
    take_text(ret_refusal, text_of(json_object_get(root, "message")));
    json_decref(root);
}
