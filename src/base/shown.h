/* shown.h - foreign text inside a message. */
#ifndef BASE_SHOWN_H
#define BASE_SHOWN_H

#include "base/buf.h"

/* In single quotes, cut to about 60 bytes; what is not harmless on a terminal is shown as \xNN
 * or \uNNNN. */
struct shown {
    char text[72];
};
struct shown shown_of(struct bytes text);

/* All of it, without quotes. */
void buf_put_shown(struct buf *to, struct bytes text);

#endif
