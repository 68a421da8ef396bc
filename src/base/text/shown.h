/* shown.h - text from outside in a message. */
#ifndef BASE_TEXT_SHOWN_H
#define BASE_TEXT_SHOWN_H

#include "base/buf.h"

/* Text in single quotes, cut to about 60 bytes; characters that could harm a terminal are \xNN or
 * \uNNNN. */
struct shown {
    char text[72];
};
struct shown shown_of(struct bytes text);

/* Appends all of the text in the same way, without quotes. */
void buf_put_shown(struct buf *to, struct bytes text);

#endif
