/* letters_private.h - what the files of dead letters share. */
#ifndef RELAY_LETTERS_LETTERS_PRIVATE_H
#define RELAY_LETTERS_LETTERS_PRIVATE_H

#include "relay/letters/letters.h"

/* Opens the current file, or creates it. ERR_MISSING: the state's file does not exist. */
MUST_CHECK enum err letters_open_current(struct letters *letters, struct why *why);
/* Copies the text of a file, up to the first place that cannot be read, and up to `length` bytes,
 * into a new file `name`. A missing one is empty. */
MUST_CHECK enum err letters_copy_text(struct letters *letters, uint32_t number, const char *name,
                                      uint64_t length, struct file *ret_file, uint64_t *ret_size,
                                      struct why *why);
/* Adds the letter of the replayed line `number`, which was refused again. */
MUST_CHECK enum err letters_add_again(struct letters *letters, const struct dead_letter *letter,
                                      uint32_t number, struct why *why);
/* Closes and removes a file that a restart does not need. */
void letters_close_scratch(struct file *file);
/* The size at which a file ends. */
uint64_t letters_file_bytes(const struct letters *letters);
/* Removes a file from the list now, and from the disk once the next state is durable. */
void letters_remove_file(struct letters *letters, uint32_t at);

#endif
