/*
 * letter_print.h - prints a dead letter as a line of text, or as JSON with all of its data.
 *
 * JSON is {"destination":..,"id":"POS.INDEX","state":"kept","tenant":..,"kind":"float",
 * "labels":{..},"time":MS,"value":N,"reason":..,"answer":..,"failed_at":"RFC 3339"}, with
 *  - "value":null,"bits":"16 hex digits" for a float that is not finite,
 *  - "histogram":{..} instead of a value, in the form of wire/json/histogram_json.h,
 *  - "start_ms" if the start time is known,
 *  - "exemplar_labels" for an exemplar,
 *  - "labels_hex" (and "exemplar_labels_hex") for labels that are not UTF-8: names and values in
 *    hex digits,
 *  - "family", "type", "help" and "unit" of metadata, instead of labels, time and value.
 */
#ifndef CLI_DESTINATIONS_LETTER_PRINT_H
#define CLI_DESTINATIONS_LETTER_PRINT_H

#include "relay/operate/dead_letters_command.h"

/* Appends a line for each, with its line feed. A lack of memory shows in buf_error(to). */
void letter_print_text(struct buf *to, const char *destination, const struct dead_letter *letter,
                       enum dead_letter_state state);
void letter_print_json(struct buf *to, const char *destination, const struct dead_letter *letter,
                       enum dead_letter_state state);

#endif
