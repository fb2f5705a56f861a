#include "natsim/wire.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- bodies ---------------------------------------------------------------------------------- */

static size_t count_strings(char *const strings[], size_t *bytes) {
  size_t count = 0;
  for (; strings[count]; count++)
    *bytes += strlen(strings[count]) + 1;
  return count;
}

static char *append(char *at, const char *text) {
  size_t len = strlen(text) + 1;
  memcpy(at, text, len);
  return at + len;
}

int sim_wire_pack(const char *host, const char *folder, char *const argv[], char *const envp[],
                  sim_wire_head *head, char **body) {
  size_t bytes = strlen(host) + strlen(folder) + 2;
  *head = (sim_wire_head){.magic = SIM_WIRE_MAGIC};
  head->arguments = (uint32_t)count_strings(argv, &bytes);
  head->variables = (uint32_t)count_strings(envp, &bytes);
  head->body_len = (uint32_t)bytes;
  *body = NULL;
  if (bytes > SIM_WIRE_BODY)
    return -E2BIG;
  char *at = *body = malloc(bytes);
  if (!at)
    return -ENOMEM;
  at = append(append(at, host), folder);
  for (size_t i = 0; argv[i]; i++)
    at = append(at, argv[i]);
  for (size_t i = 0; envp[i]; i++)
    at = append(at, envp[i]);
  return 0;
}

/* The next string of the body, NULL past its end. */
static char *next(char **at, const char *end) {
  char *text = *at, *nul = memchr(text, 0, (size_t)(end - text));
  *at = nul ? nul + 1 : text;
  return nul ? text : NULL;
}

int sim_wire_unpack(const sim_wire_head *head, char *body, sim_wire_request *out) {
  *out = (sim_wire_request){.head = *head, .body = body};
  size_t strings = (size_t)head->arguments + head->variables;
  if (head->magic != SIM_WIRE_MAGIC || head->body_len > SIM_WIRE_BODY || !head->arguments ||
      strings > head->body_len) {
    sim_wire_free(out);
    return -EBADMSG;
  }
  out->argv = calloc((size_t)head->arguments + 1, sizeof *out->argv);
  out->envp = calloc((size_t)head->variables + 1, sizeof *out->envp);
  if (!out->argv || !out->envp) {
    sim_wire_free(out);
    return -ENOMEM;
  }
  char *at = body;
  const char *end = body + head->body_len;
  out->host = next(&at, end);
  out->folder = next(&at, end);
  bool whole = out->host && out->folder;
  for (uint32_t i = 0; whole && i < head->arguments; i++)
    whole = (out->argv[i] = next(&at, end)) != NULL;
  for (uint32_t i = 0; whole && i < head->variables; i++)
    whole = (out->envp[i] = next(&at, end)) != NULL;
  if (whole && at == end)
    return 0;
  sim_wire_free(out);
  return -EBADMSG;
}

void sim_wire_free(sim_wire_request *request) {
  free(request->argv);
  free(request->envp);
  free(request->body);
  *request = (sim_wire_request){.body = NULL};
}

/* ---- sockets --------------------------------------------------------------------------------- */

bool sim_lab_name_ok(const char *name) {
  size_t len = strlen(name);
  return len && len < SIM_LAB_NAME &&
         !name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")];
}

/* Abstract names begin with a NUL and vanish with their last socket. */
static socklen_t address_of(const char *name, struct sockaddr_un *out) {
  *out = (struct sockaddr_un){.sun_family = AF_UNIX};
  int len = snprintf(out->sun_path + 1, sizeof out->sun_path - 1, "natsim-lab/%u/%s",
                     (unsigned)geteuid(), name);
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
}

int sim_lab_listen(const char *name, ns_error *error) {
  enum { WAITING = 16 };
  struct sockaddr_un address;
  socklen_t len = address_of(name, &address);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && !bind(fd, (struct sockaddr *)&address, len) && !listen(fd, WAITING))
    return fd;
  int err = errno;
  if (fd >= 0)
    close(fd);
  if (err == EADDRINUSE)
    return sim_fail(error, -err, "a laboratory named %s runs already: give this one a --name",
                    name);
  return sim_fail(error, -err, "cannot make a socket for lab exec: %s", strerror(err));
}

/* What runs, for who asked for something else. */
static void list_labs(char *out, size_t size) {
  char line[512], prefix[48];
  size_t used = 0;
  out[0] = 0;
  int len = snprintf(prefix, sizeof prefix, "@natsim-lab/%u/", (unsigned)geteuid());
  FILE *in = fopen("/proc/net/unix", "re");
  while (in && fgets(line, sizeof line, in)) {
    char *found = strstr(line, prefix);
    line[strcspn(line, "\n")] = 0;
    if (!found || used >= size)
      continue;
    char name[SIM_LAB_NAME + 4];
    snprintf(name, sizeof name, "%s%.32s", used ? ", " : "", found + len);
    if (!strstr(out, found + len))
      used += (size_t)snprintf(out + used, size - used, "%s", name);
  }
  if (in)
    fclose(in);
}

int sim_lab_connect(const char *name, ns_error *error) {
  struct sockaddr_un address;
  socklen_t len = address_of(name, &address);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return sim_fail(error, -errno, "cannot make a socket: %s", strerror(errno));
  char others[160];
  if (connect(fd, (struct sockaddr *)&address, len) < 0) {
    int err = errno;
    close(fd);
    list_labs(others, sizeof others);
    return sim_fail(error, -err,
                    "no laboratory named %s runs%s%s: natsim lab --a P --b P starts one", name,
                    *others ? ", but " : "", others);
  }
  if (!sim_lab_is_own(fd)) {
    close(fd);
    return sim_fail(error, -EPERM, "the laboratory %s is another user's", name);
  }
  return fd;
}

bool sim_lab_is_own(int fd) {
  struct ucred other;
  socklen_t len = sizeof other;
  return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &other, &len) && other.uid == geteuid();
}

/* ---- bytes and descriptors ------------------------------------------------------------------- */

typedef union control {
  struct cmsghdr align;
  char bytes[CMSG_SPACE(SIM_WIRE_DESCRIPTORS * sizeof(int))];
} control;

bool sim_wire_send(int fd, const void *bytes, size_t len, const int *fds) {
  control room = {.bytes = {0}};
  struct iovec part = {.iov_base = (void *)bytes, .iov_len = len};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (fds) {
    message.msg_control = room.bytes;
    message.msg_controllen = sizeof room.bytes;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(SIM_WIRE_DESCRIPTORS * sizeof(int));
    memcpy(CMSG_DATA(head), fds, SIM_WIRE_DESCRIPTORS * sizeof(int));
  }
  while (part.iov_len) {
    ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR)
      continue;
    if (sent <= 0)
      return false;
    part.iov_base = (char *)part.iov_base + sent;
    part.iov_len -= (size_t)sent;
    message.msg_control = NULL; /* they go once, with the first byte */
    message.msg_controllen = 0;
  }
  return true;
}

static void take_descriptors(struct msghdr *message, int *fds) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
      continue;
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int got;
      memcpy(&got, CMSG_DATA(c) + i * sizeof got, sizeof got);
      if (fds && i < SIM_WIRE_DESCRIPTORS && fds[i] < 0)
        fds[i] = got;
      else
        close(got);
    }
  }
}

bool sim_wire_receive(int fd, void *bytes, size_t len, int *fds) {
  struct iovec part = {.iov_base = bytes, .iov_len = len};
  for (int i = 0; fds && i < SIM_WIRE_DESCRIPTORS; i++)
    fds[i] = -1;
  while (part.iov_len) {
    control room;
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = room.bytes,
                             .msg_controllen = sizeof room.bytes};
    ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return false;
    take_descriptors(&message, fds);
    part.iov_base = (char *)part.iov_base + got;
    part.iov_len -= (size_t)got;
  }
  return true;
}
