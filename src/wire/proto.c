/* proto.c - the rare case: groups, which are skipped without recursion. */
#include "wire/proto.h"

void
proto_skip_group(struct cursor *c, uint32_t field)
{
    uint32_t open[PROTO_GROUPS_MAX] = {field};
    for (unsigned depth = 1; depth > 0;) {
        uint32_t tag = proto_tag(c);
        bool bad = tag == 0; /* 0: the message ends within the group */
        switch (tag & 7) {
        case PROTO_GROUP_BEGIN:
            bad |= depth == PROTO_GROUPS_MAX;
            if (!bad) open[depth++] = tag >> 3;
            break;
        case PROTO_GROUP_END:
            bad |= open[--depth] != tag >> 3;
            break;
        default:
            if (!bad) proto_skip(c, tag, 0);
            bad |= c->bad;
        }
        if (bad) {
            cursor_fail(c);
            return;
        }
    }
}
