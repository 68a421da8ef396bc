/* final_labels.c - see final_labels.h. */
#include "backend/common/final_labels.h"

#include "wire/proto.h"

enum err
final_labels_build(const struct external_labels *external, struct label *labels, uint32_t count,
                   struct buf *to, struct why *why)
{
    static const struct labels_limits none = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    const struct named_texts *texts = external->texts;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool replaced = false;
        for (uint32_t k = 0; k < texts->count && !replaced; k++) {
            replaced = bytes_equal_text(labels[i].name, texts->items[k].name);
        }
        if (labels[i].name.size == 0) {
            return why_set(why, ERR_CORRUPT, "a series has a label without a name");
        }
        if (!replaced && labels[i].value.size > 0) labels[kept++] = labels[i];
    }
    if (kept + texts->count > FINAL_LABELS_MAX) {
        return why_set(why, ERR_LIMIT, "a series has more than %d labels", FINAL_LABELS_MAX);
    }
    for (uint32_t k = 0; k < texts->count; k++) {
        labels[kept++] = (struct label){bytes_of_text(texts->items[k].name),
                                        bytes_of_text(texts->items[k].value)};
    }
    enum reject reject = labels_build(labels, kept, &none, to);
    if (buf_error(to)) return why_set(why, ERR_NOMEM, "not enough memory for labels");
    /* Empty values may have removed all labels. */
    if (reject == REJECT_NONE || reject == REJECT_EMPTY_LABELS) return OK;
    return why_set(why, ERR_CORRUPT, "a series has invalid labels: %s", reject_word(reject));
}

/* An absent field is empty, as in protobuf. */
static struct label
read_label_field(struct bytes message, bool *ret_bad)
{
    struct label label = {bytes_of(NULL, 0), bytes_of(NULL, 0)};
    struct cursor c = cursor_of(message);
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        if (tag == PROTO_TAG(1, PROTO_BYTES))
            label.name = proto_bytes(&c);
        else if (tag == PROTO_TAG(2, PROTO_BYTES))
            label.value = proto_bytes(&c);
        else
            proto_skip(&c, tag, PROTO_KNOWN(1) | PROTO_KNOWN(2));
    }
    *ret_bad |= c.bad;
    return label;
}

enum err
final_labels_put(const struct external_labels *external, struct bytes fields, struct buf *to,
                 struct why *why)
{
    struct label labels[FINAL_LABELS_MAX];
    uint32_t count = 0;
    bool bad = false;
    struct cursor c = cursor_of(fields);
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        if (tag != PROTO_TAG(1, PROTO_BYTES)) cursor_fail(&c);
        if (count == FINAL_LABELS_MAX) {
            return why_set(why, ERR_LIMIT, "a series has more than %d labels", FINAL_LABELS_MAX);
        }
        labels[count++] = read_label_field(proto_bytes(&c), &bad);
    }
    if (c.bad || bad) return why_set(why, ERR_CORRUPT, "a series has labels that cannot be read");
    return final_labels_build(external, labels, count, to, why);
}
