/* schedule.c - see group.h. */
#include "rules/group/group.h"

#include <assert.h>

#include "model/labels.h"

enum { LABELS_BYTES_MAX = 64 << 10 };

enum err
schedule_of(const char *file, const char *name, int64_t interval_ns, struct schedule *ret)
{
    struct buf labels, scratch;
    uint64_t hash = 0;
    buf_init(&labels, NULL, LABELS_BYTES_MAX);
    buf_init(&scratch, NULL, LABELS_BYTES_MAX);
    if (file[0] != '\0') {
        labels_put(&labels, (struct label){bytes_of_text("file"), bytes_of_text(file)});
    }
    labels_put(&labels, (struct label){bytes_of_text("name"), bytes_of_text(name)});
    enum err e = buf_error(&labels);
    if (e == OK) e = labels_prometheus_hash(buf_bytes(&labels), &scratch, &hash);
    assert(interval_ns > 0);
    *ret = (struct schedule){interval_ns, (int64_t)(hash % (uint64_t)interval_ns)};
    buf_fini(&labels);
    buf_fini(&scratch);
    return e;
}

int64_t
schedule_slot(const struct schedule *s, int64_t now_ns)
{
    int64_t since = now_ns - s->shift_ns;
    return since < 0 ? -1 : since / s->interval_ns;
}

int64_t
schedule_time_ns(const struct schedule *s, int64_t slot)
{
    return s->shift_ns + slot * s->interval_ns;
}
