/*
 * What the files of netns share: error lines, descriptors, visits to a namespace.
 */
#ifndef NETNS_INTERNAL_H
#define NETNS_INTERNAL_H

#include "netns/netns.h"

#include <sys/resource.h>

/* Writes the line (error may be NULL) and returns -err. */
int ns_fail(ns_error *error, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Moves a descriptor above 1100, where libnftables (which uses select) is not disturbed, or at
 * least above the standard ones if the limit forbids more; it is closed on exec. Takes `fd`, also
 * when it fails; a negative `fd` fails with errno as it is. Returns the new one or a negative
 * errno. */
int ns_fd_high(int fd);
/* Closes *fd unless it is not open (<= 0: none of ours is 0) and sets it to `none`. */
void ns_fd_close(int *fd, int none);

/* Opens the calling thread's network namespace; negative errno on failure. */
int ns_own_namespace(void);
/* Moves the calling thread into the host. *back is where it was, for ns_visit_end, which cannot
 * fail: it ends the program rather than go on in the wrong namespace. */
int ns_visit(const ns_host *host, int *back);
void ns_visit_end(int back);

/* Remembers what ns_sandbox_run found: the first namespace (for ns_leave; the descriptor is taken)
 * and the descriptor limit before it was raised (for programs). */
void ns_remember_sandbox(int first_namespace, const struct rlimit *descriptors);
/* NULL outside of a sandbox. */
const struct rlimit *ns_outer_descriptors(void);

/* Writes a short text to a file, as /proc wants it: in one write. Returns 0 or a negative errno. */
int ns_write_file(const char *path, const char *text);

/* The monotonic clock. */
uint64_t ns_now_ns(void);
uint64_t ns_now_ms(void);

#endif
