/*
 * http_listen.c - the places where the server listens: TCP ports, Unix sockets, and sockets that
 * the service manager opened.
 *
 * A Unix socket has a file, which stays when a process is killed. It is replaced if no process
 * answers there, and removed at the stop if it is still the server's own.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/http_private.h"

enum { LISTEN_BACKLOG = 1024 };

/* --- Unix sockets ----------------------------------------------------------------------------- */

static enum err
failed_at(const char *path, const char *step, struct why *why)
{
    int reason = errno;
    return why_set(why, reason == EACCES || reason == ENOENT ? ERR_INPUT : err_from_errno(reason),
                   "cannot listen on unix:%s: %s: %s", path, step, errno_text(reason).text);
}

/* Removes the file of a socket on which no process listens. */
static enum err
remove_stale(const struct sockaddr_un *address, struct why *why)
{
    struct stat facts;
    const char *path = address->sun_path;
    if (lstat(path, &facts) < 0) return errno == ENOENT ? OK : failed_at(path, "stat", why);
    if (!S_ISSOCK(facts.st_mode))
        return why_set(why, ERR_INPUT, "cannot listen on unix:%s: the file is not a socket", path);
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (probe < 0) return failed_at(path, "socket", why);
    int reason = connect(probe, (const struct sockaddr *)address, sizeof *address) < 0 ? errno : 0;
    close(probe);
    if (reason != ECONNREFUSED)
        return why_set(why, ERR_AGAIN, "cannot listen on unix:%s: another process listens there",
                       path);
    return unlink(path) == 0 || errno == ENOENT ? OK : failed_at(path, "unlink", why);
}

static enum err
open_unix(struct http_listener *l, const struct http_place *place, struct why *why)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat facts;
    size_t size = strlen(place->unix_path);
    if (size == 0 || size >= sizeof address.sun_path)
        return why_set(why, ERR_INPUT,
                       "cannot listen on unix:%s: the path must have 1 to %zu bytes",
                       place->unix_path, sizeof address.sun_path - 1);
    memcpy(address.sun_path, place->unix_path, size);
    enum err e = remove_stale(&address, why);
    if (e) return e;
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0) return failed_at(place->unix_path, "socket", why);
    /* The mode is set before the file appears, without the bits of the umask, and exactly after
     * it. */
    if (fchmod(l->fd, place->unix_mode) < 0) return failed_at(place->unix_path, "chmod", why);
    if (bind(l->fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return failed_at(place->unix_path, "bind", why);
    if (chmod(place->unix_path, place->unix_mode) < 0)
        return failed_at(place->unix_path, "chmod", why);
    if (listen(l->fd, LISTEN_BACKLOG) < 0) return failed_at(place->unix_path, "listen", why);
    if (lstat(place->unix_path, &facts) < 0) return failed_at(place->unix_path, "stat", why);
    memcpy(l->unix_path, address.sun_path, size + 1);
    l->unix_device = facts.st_dev;
    l->unix_inode = facts.st_ino;
    return OK;
}

static enum err
open_tcp(struct env *env, struct http_listener *l, const struct http_place *place, struct why *why)
{
    enum err e = env_listen(env, place->host, place->port, LISTEN_BACKLOG, &l->fd, why);
    return e ? why_prefix(why, e, "cannot listen on %s", place->name) : OK;
}

/* --- all places ------------------------------------------------------------------------------- */

static enum err
take_socket(struct http_listener *l, const struct http_place *place, struct why *why)
{
    int fd = place->socket;
    int listens = 0, flags = fcntl(fd, F_GETFL);
    socklen_t size = sizeof listens;
    l->fd = fd;
    bool is_fine = flags >= 0 && getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 &&
                   listens && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
                   fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
    return is_fine ? OK
                   : why_set(why, ERR_INPUT,
                             "cannot listen on %s: descriptor %d is not a listening socket",
                             place->name, fd);
}

static enum err
find_port(struct http_listener *l, struct why *why)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(l->fd, (struct sockaddr *)&address, &size) < 0)
        return why_set(why, err_from_errno(errno), "getsockname: %s", errno_text(errno).text);
    in_port_t port = 0;
    if (address.ss_family == AF_INET6) port = ((struct sockaddr_in6 *)&address)->sin6_port;
    if (address.ss_family == AF_INET) port = ((struct sockaddr_in *)&address)->sin_port;
    l->port = ntohs(port);
    return OK;
}

static enum err
open_place(struct http_server *server, struct http_listener *l, const struct http_place *place,
           struct why *why)
{
    enum err e;
    l->has_tls = place->tls != NULL;
    if (place->tls != NULL) l->tls = tls_hold(place->tls);
    if (place->unix_path != NULL)
        e = open_unix(l, place, why);
    else if (place->host != NULL)
        e = open_tcp(server->options.env, l, place, why);
    else
        e = take_socket(l, place, why);
    return e ? e : find_port(l, why);
}

enum err
http_listeners_open(struct http_server *server, const struct http_options *options, struct why *why)
{
    enum err e = OK;
    for (size_t i = 0; i < options->place_count && e == OK; i++)
        e = open_place(server, &server->listeners[i], &options->places[i], why);
    server->listening = e == OK;
    return e;
}

static void
remove_own_file(const struct http_listener *l)
{
    struct stat facts;
    if (l->unix_path[0] == '\0' || lstat(l->unix_path, &facts) < 0) return;
    if (facts.st_dev == l->unix_device && facts.st_ino == l->unix_inode) unlink(l->unix_path);
}

enum err
http_places_check(struct env *env, const struct http_place *places, size_t count, struct why *why)
{
    enum err e = OK;
    for (size_t i = 0; i < count && e == OK; i++) {
        struct http_listener l = {.fd = -1};
        if (places[i].unix_path != NULL) e = open_unix(&l, &places[i], why);
        if (places[i].host != NULL) e = open_tcp(env, &l, &places[i], why);
        remove_own_file(&l);
        if (l.fd >= 0) close(l.fd);
    }
    return e;
}

void
http_listeners_close(struct http_server *server)
{
    for (size_t i = 0; i < server->options.place_count; i++) {
        struct http_listener *l = &server->listeners[i];
        if (l->fd < 0) continue;
        remove_own_file(l);
        close(l->fd);
        l->fd = -1;
    }
}

void
http_listeners_free(struct http_server *server)
{
    for (size_t i = 0; i < server->options.place_count; i++)
        tls_release(server->listeners[i].tls);
}

void
http_server_set_tls(struct http_server *server, size_t place, struct tls *tls)
{
    struct http_listener *l = &server->listeners[place];
    assert(place < server->options.place_count && l->has_tls && tls != NULL);
    lock_take(&server->lock);
    struct tls *old = l->tls;
    l->tls = tls_hold(tls);
    atomic_fetch_add_explicit(&l->tls_changes, 1, memory_order_acq_rel);
    lock_drop(&server->lock);
    tls_release(old);
}

/* --- peers ------------------------------------------------------------------------------------ */

void
http_peer_print(const struct sockaddr_storage *address, char *to, size_t to_size)
{
    char text[INET6_ADDRSTRLEN] = "?";
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
        snprintf(to, to_size, "%s:%u", text, ntohs(in->sin_port));
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
        if (mapped)
            inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], text, sizeof text);
        else
            inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
        snprintf(to, to_size, mapped ? "%s:%u" : "[%s]:%u", text, ntohs(in6->sin6_port));
    } else {
        snprintf(to, to_size, "unix");
    }
}

struct in6_addr
http_peer_mapped(const struct sockaddr_storage *address)
{
    struct in6_addr mapped = IN6ADDR_ANY_INIT;
    if (address->ss_family == AF_INET6) return ((const struct sockaddr_in6 *)address)->sin6_addr;
    if (address->ss_family == AF_INET) {
        mapped.s6_addr[10] = mapped.s6_addr[11] = 0xff;
        memcpy(&mapped.s6_addr[12], &((const struct sockaddr_in *)address)->sin_addr, 4);
    }
    return mapped;
}
