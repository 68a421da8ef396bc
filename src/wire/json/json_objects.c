/* json_objects.c - see json_objects.h. */
#include "wire/json/json_objects.h"

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
        /* A quote after another character closes a string whose beginning is lost: if it opened
         * one, everything up to the next line feed would be read inside out. */
        bool may_open = s.last == ':' || s.last == ',' || s.last == '{' || s.last == '[';
        s.in_string = c == '"' && may_open;
        s.last = c;
    }
    *o = i < more.size ? (struct json_objects){0} : s;
    return i;
}
