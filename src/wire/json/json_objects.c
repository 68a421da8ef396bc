/* json_objects.c - see json_objects.h. */
#include "wire/json/json_objects.h"

/* In JSON a string begins only after one of these characters. A quote after another character
 * closes a string whose beginning is lost: if it opened one, everything up to the next line feed
 * would be read inside out. */
static bool
may_open_string(uint8_t last)
{
    return last == ':' || last == ',' || last == '{' || last == '[';
}

size_t
json_objects_end(struct json_objects *o, struct bytes more)
{
    struct json_objects s = *o;
    size_t i = 0;
    for (; i < more.size && more.at[i] != '\n'; i++) {
        uint8_t c = more.at[i];
        if (s.in_string) {
            s.in_string = c != '"' || s.escaped;
            s.escaped = c == '\\' && !s.escaped;
            continue;
        }
        if (c == ' ' || c == '\t' || c == '\r') continue;
        if (c == '{' && s.last == '}') break;
        s.in_string = c == '"' && may_open_string(s.last);
        s.last = c;
    }
    *o = i < more.size ? (struct json_objects){0} : s;
    return i;
}
