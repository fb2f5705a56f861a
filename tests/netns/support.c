#include "support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

const uint8_t MAC_A[6] = {2, 0, 0, 0, 0, 0xa}, MAC_B[6] = {2, 0, 0, 0, 0, 0xb};

int run_in_sandbox(int (*group)(void *arg)) {
  ns_error error;
  int status = ns_sandbox_run(group, NULL, &error);
  if (status >= 0)
    return status;
  fprintf(stderr, "%s\n", error.text);
  return EXIT_FAILURE;
}

void assert_ok(int result, const ns_error *error) {
  if (result < 0)
    fail_msg("%d: %s", result, error->text);
}

int wait_for_child(pid_t pid) {
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int status_of_child(int (*child)(void *arg), void *arg) {
  fflush(NULL);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0)
    _exit(child(arg));
  return wait_for_child(pid);
}

void small_net_open(small_net *net) {
  ns_error error;
  ns_batch batch;
  assert_ok(ns_host_open(&net->a, "a", &error), &error);
  assert_ok(ns_host_open(&net->w, "w", &error), &error);
  assert_ok(ns_host_open(&net->b, "b", &error), &error);
  ns_begin(&batch, &net->w);
  ns_add_veth(&batch, "to-a", W_TO_A, NULL, &net->a, "eth0", ETH0, MAC_A);
  ns_add_veth(&batch, "to-b", W_TO_B, NULL, &net->b, "eth0", ETH0, MAC_B);
  ns_add_up(&batch, W_TO_A);
  ns_add_up(&batch, W_TO_B);
  assert_ok(ns_commit(&batch, &error), &error);
  ns_begin(&batch, &net->a);
  ns_add_up(&batch, ETH0);
  ns_add_address(&batch, ETH0, "192.0.2.1/24");
  ns_add_neighbour(&batch, "192.0.2.2", MAC_B, ETH0);
  assert_ok(ns_commit(&batch, &error), &error);
  ns_begin(&batch, &net->b);
  ns_add_up(&batch, ETH0);
  ns_add_address(&batch, ETH0, "192.0.2.2/24");
  ns_add_neighbour(&batch, "192.0.2.1", MAC_A, ETH0);
  assert_ok(ns_commit(&batch, &error), &error);
  assert_ok(ns_link_wait(&net->w, W_TO_A, WAIT_MS, &error), &error);
  assert_ok(ns_link_wait(&net->w, W_TO_B, WAIT_MS, &error), &error);
}

void small_net_close(small_net *net) {
  ns_host_close(&net->a);
  ns_host_close(&net->w);
  ns_host_close(&net->b);
}

static struct sockaddr_in address_of(const char *ip, uint16_t port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  assert_int_equal(inet_pton(AF_INET, ip, &address.sin_addr), 1);
  return address;
}

int udp_open(const ns_host *host, const char *ip, uint16_t port) {
  struct sockaddr_in address = address_of(ip, port);
  struct timeval patience = {.tv_sec = WAIT_MS / 1000};
  assert_int_equal(ns_enter(host), 0);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ns_leave();
  assert_true(fd >= 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
  assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
  return fd;
}

void udp_send(int fd, const char *ip, uint16_t port, const void *bytes, size_t len) {
  struct sockaddr_in to = address_of(ip, port);
  assert_int_equal(sendto(fd, bytes, len, 0, (struct sockaddr *)&to, sizeof to), len);
}

void udp_send_piece(int fd, const char *ip, uint16_t port, const void *bytes, size_t len,
                    int size) {
  static const int none = 0;
  if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size) == 0) {
    udp_send(fd, ip, port, bytes, len);
    assert_int_equal(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &none, sizeof none), 0);
    return;
  }
  for (size_t at = 0; at < len; at += (size_t)size)
    udp_send(fd, ip, port, (const uint8_t *)bytes + at,
             len - at < (size_t)size ? len - at : (size_t)size);
}

static void install(struct sock_filter *code, size_t count) {
  struct sock_fprog program = {.len = (unsigned short)count, .filter = code};
  assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

#define LOAD(offset)  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)(offset))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, (unsigned)(value))
#define ARGUMENT(n)   (offsetof(struct seccomp_data, args) + (n) * sizeof(uint64_t)) /* low half */

/* As container engines do it: clone and unshare are refused when they ask for any namespace. */
void forbid_namespaces(void) {
  const unsigned namespaces =
      CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
  struct sock_filter code[] = {
      LOAD(offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 0, 3),
      LOAD(ARGUMENT(0)),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, namespaces, 0, 1),
      RETURN(SECCOMP_RET_ERRNO | EPERM),
      RETURN(SECCOMP_RET_ALLOW),
  };
  install(code, sizeof code / sizeof *code);
}

void forbid_nftables(void) {
  struct sock_filter code[] = {
      LOAD(offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 5),
      LOAD(ARGUMENT(0)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 0, 3),
      LOAD(ARGUMENT(2)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NETLINK_NETFILTER, 0, 1),
      RETURN(SECCOMP_RET_ERRNO | EPROTONOSUPPORT),
      RETURN(SECCOMP_RET_ALLOW),
  };
  install(code, sizeof code / sizeof *code);
}

void write_proc(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text, strlen(text)) < 0)
    fail_msg("%s: %s", path, strerror(errno));
  close(fd);
}

/* A bare clone, as unshare refuses this to a process with threads, which a sanitizer may have. */
pid_t fork_into_user_namespace(void) {
  char uid_map[32], gid_map[32];
  snprintf(uid_map, sizeof uid_map, "0 %u 1", (unsigned)geteuid());
  snprintf(gid_map, sizeof gid_map, "0 %u 1", (unsigned)getegid());
  fflush(NULL);
  pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  assert_true(pid >= 0);
  if (pid == 0) {
    write_proc("/proc/self/setgroups", "deny");
    write_proc("/proc/self/uid_map", uid_map);
    write_proc("/proc/self/gid_map", gid_map);
  }
  return pid;
}
