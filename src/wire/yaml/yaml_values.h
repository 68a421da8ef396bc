/* yaml_values.h - reads and writes texts and durations in YAML. */
#ifndef WIRE_YAML_YAML_VALUES_H
#define WIRE_YAML_YAML_VALUES_H

#include "base/buf.h"
#include "wire/yaml/yaml_reader.h"

/* Reads a text: a copy in the arena that ends with a NUL; null is "". ERR_NOMEM; ERR_INPUT: not a
 * text, or it contains a NUL. */
MUST_CHECK enum err reader_text(struct config_reader *r, const char *name, struct arena *arena,
                                const char **ret_text);
/* Reads a duration in Prometheus' notation: 90s, 1h30m, 0. ERR_INPUT. */
MUST_CHECK enum err reader_duration(struct config_reader *r, const char *name, int64_t *ret_ms);

/* Appends a text in YAML's double quotes. UTF-8 is read back unchanged. */
void yaml_put_quoted(struct buf *to, const char *text);

#endif
