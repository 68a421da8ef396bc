/*
 * admission.h - access to the server: the listeners with their TLS, the users, the gate. A reload
 * changes all of it or nothing. A thread rereads the files that the settings name when they change.
 */
#ifndef APP_ADMISSION_H
#define APP_ADMISSION_H

#include "auth/gate.h"
#include "config/lists/lists.h"

struct admission;

/*
 * Makes the gate and the TLS of all listeners from complete settings. `lists` is taken: it is empty
 * after that. `external_url` is settings_external_url(), and outlives it.
 * `on_change` is called on the thread when the file for web.config.file has changed; it asks for a
 * reload. ERR_INPUT, ERR_MISSING, ERR_IO, ERR_LIMIT: `why` names the file, or the setting;
 * ERR_NOMEM.
 */
MUST_CHECK enum err admission_new(struct env *env, struct budget *memory,
                                  const struct settings *settings, struct access_settings *lists,
                                  const char *external_url, void (*on_change)(void *context),
                                  void *context, struct admission **ret_admission, struct why *why);
struct http_gate admission_gate(struct admission *admission);
struct gate_sessions admission_sessions(struct admission *admission);
/* Returns the places where the HTTP server listens, views that live as long as it starts.
 * ERR_INPUT: the service manager passes no socket of that name. */
MUST_CHECK enum err admission_places(struct admission *admission,
                                     const struct http_place **ret_places, size_t *ret_count,
                                     struct why *why);
/* Gives the server the headers of all answers, and starts the threads. ERR_NOMEM, ERR_AGAIN. */
MUST_CHECK enum err admission_begin(struct admission *admission, struct http_server *server,
                                    struct why *why);
/* Ends the thread, before the server is freed; frees the rest after it. NULL is fine. */
void admission_end(struct admission *admission);
void admission_free(struct admission *admission);

/* A change that was prepared by a reload. Only the reloading thread. */
struct admission_change;
MUST_CHECK enum err admission_prepare(struct admission *admission, const struct settings *settings,
                                      struct access_settings *lists,
                                      struct admission_change **ret_change, struct why *why);
void admission_commit(struct admission_change *change);
/* NULL is fine. */
void admission_abandon(struct admission_change *change);

/* Prints the keys of the configuration file as YAML. Any thread; may wait for a disk. */
void admission_print_yaml(struct admission *admission, struct buf *to);
/* Says whether requests need credentials. Before requests are served. */
bool admission_has_users(const struct admission *admission);
/* Writes the addresses of all listeners, as in the settings, with commas between them. */
void admission_print_addresses(struct admission *admission, char *to, size_t to_size);
/* Writes the host of the first listener on a port, "" for all. False: no listener has a port. */
bool admission_first_host(struct admission *admission, char *ret_host);

#endif
