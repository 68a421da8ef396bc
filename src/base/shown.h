/* shown.h - foreign text inside a message. */
#ifndef BASE_SHOWN_H
#define BASE_SHOWN_H

#include "base/bytes.h"

/* In single quotes, cut to about 60 bytes; what is not harmless on a terminal is shown as \xNN. */
struct shown {
    char text[72];
};
struct shown shown_of(struct bytes text);

#endif
