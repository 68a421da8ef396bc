/* letters_rig.c - see letters_rig.h. */
#include "lib/relay/letters_rig.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash/hash.h"
#include "model/labels.h"
#include "relay/state/state.h"

#define must(call) assert_int_equal((call), OK)

const char *const letter_reasons[REASONS] = {"conflict", "http_400", "too_old"};

uint64_t
made_letter_pos(uint32_t id)
{
    return 100 + id / 4 * 8;
}

uint32_t
made_letter_index(uint32_t id)
{
    return id % 4;
}

static enum item_kind
made_letter_kind(uint32_t id)
{
    static const enum item_kind kinds[8] = {ITEM_FLOAT,    ITEM_FLOAT, ITEM_HISTOGRAM, ITEM_FLOAT,
                                            ITEM_EXEMPLAR, ITEM_FLOAT, ITEM_METADATA,  ITEM_FLOAT};
    return kinds[id % 8];
}

int64_t
made_letter_failed_ms(uint32_t id)
{
    return 1000000 + (int64_t)id;
}

static void
put_label(struct buf *to, const char *name, const char *value)
{
    labels_put(to, (struct label){bytes_of_text(name), bytes_of_text(value)});
}

struct dead_letter
made_letter(uint32_t id, uint32_t reason, struct letter_memory *m)
{
    enum item_kind kind = made_letter_kind(id);
    char name[32];
    *m = (struct letter_memory){.span = {(int32_t)id, 3}, .deltas = {1 + id, 0, 2}};
    struct buf labels = {.at = m->label_bytes, .capacity = sizeof m->label_bytes};
    struct buf exemplar_labels = {.at = m->exemplar_label_bytes,
                                  .capacity = sizeof m->exemplar_label_bytes};
    snprintf(name, sizeof name, "metric_%u", id);
    snprintf(m->answer, sizeof m->answer, "it said %u", id);
    snprintf(m->tenant, sizeof m->tenant, "team%u", id % 5);
    if (kind != ITEM_METADATA) put_label(&labels, "__name__", name);
    if (kind != ITEM_METADATA) put_label(&labels, "job", "x");
    if (kind == ITEM_EXEMPLAR) put_label(&exemplar_labels, "trace_id", name);
    m->histogram = (struct histogram){.kind = SAMPLE_HISTOGRAM_INT,
                                      .reset_hint = RESET_NO,
                                      .schema = 3,
                                      .sum_bits = double_bits(18.4 + id),
                                      .count = 5 + 3 * (uint64_t)id,
                                      .zero_count = 0,
                                      .positive = {&m->span, 1, 3, m->deltas, NULL}};
    struct item item = {.kind = kind,
                        .tenant = bytes_of_text(m->tenant),
                        .labels = buf_bytes(&labels),
                        .series_hash = hash_mix(id, 5),
                        .t_ms = kind == ITEM_METADATA ? 0 : -5000 + (int64_t)id,
                        .start_ms = id % 3 == 0 ? 0 : 77};
    if (kind == ITEM_FLOAT) item.bits = id % 16 == 1 ? STALE_NAN_BITS : double_bits(id / 8.0);
    if (kind == ITEM_EXEMPLAR) item.bits = double_bits(-1.0 * id);
    if (kind == ITEM_EXEMPLAR) item.exemplar_labels = buf_bytes(&exemplar_labels);
    if (kind == ITEM_HISTOGRAM) item.histogram = &m->histogram;
    if (kind == ITEM_METADATA) {
        item.family = bytes_of_text("requests");
        item.family_type = METRIC_COUNTER;
        item.help = bytes_of_text("how many");
        item.unit = bytes_of_text("");
    }
    item.pos = made_letter_pos(id);
    item.index = made_letter_index(id);
    return (struct dead_letter){.item = item,
                                .reason = bytes_of_text(letter_reasons[reason]),
                                .answer = bytes_of_text(m->answer),
                                .failed_ms = made_letter_failed_ms(id)};
}

void
letters_rig_add(struct env *env, const char *dir, uint32_t first, uint32_t count)
{
    struct relay_state state = {.wish = RELAY_WISH_NONE};
    struct letter_list list = {.number = 1};
    struct buf text, bytes, scratch, put;
    char letters[256], name[LETTER_NAME_BYTES];
    buf_init(&text, NULL, 1 << 24);
    buf_init(&bytes, NULL, 1 << 24);
    buf_init(&scratch, NULL, 1 << 24);
    buf_init(&put, NULL, 1 << 24);
    must(env_mkdir(env, dir, NULL));
    if (relay_state_read(env, dir, &bytes, &state, NULL) == OK)
        must(letter_list_get(&list, state.letters));
    struct letter_file *file = count == 0 ? NULL : letter_list_current(&list);
    for (uint32_t id = first; id < first + count; id++) {
        struct letter_memory m;
        struct dead_letter letter = made_letter(id, id % REASONS, &m);
        letter_line_put(&text, &letter);
        letter_file_count(file, letter.item.kind, letter.failed_ms);
        state.fates.count[letter.item.kind][FATE_DEAD_LETTERED]++;
        state.taken[letter.item.kind]++;
    }
    if (count > 0) {
        file->bytes = text.size;
        letter_name(file->number, false, name);
        must(path_join(letters, sizeof letters, dir, "dead-letters"));
        must(env_mkdir(env, letters, NULL));
        must(env_write_whole(env, letters, name, buf_bytes(&text), NULL));
        letter_list_close(&list);
    }
    letter_list_put(&list, &put);
    state.letters = buf_bytes(&put);
    must(relay_state_write(env, dir, &scratch, &state, NULL));
    letter_list_fini(&list);
    buf_fini(&text);
    buf_fini(&bytes);
    buf_fini(&scratch);
    buf_fini(&put);
}
