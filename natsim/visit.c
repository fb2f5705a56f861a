#include "natsim/visit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

extern char **environ;

typedef struct visit {
  int fd;     /* to the laboratory */
  int master; /* of the program's terminal, -1: it has none */
  int signal_fd;
  bool input_open;
  struct termios before; /* of this terminal */
} visit;

static int complain(const char *text, int status) {
  fprintf(stderr, "natsim lab exec: %s\n", text);
  return status;
}

/* ---- the terminal ---------------------------------------------------------------------------- */

static void copy_size(int from, int to) {
  struct winsize size;
  if (!ioctl(from, TIOCGWINSZ, &size))
    ioctl(to, TIOCSWINSZ, &size);
}

/* A pair whose other end is like this terminal; it goes to *slave. */
static int open_terminal(visit *v, int *slave) {
  char name[64];
  v->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (v->master < 0 || grantpt(v->master) || unlockpt(v->master) ||
      ptsname_r(v->master, name, sizeof name))
    return -1;
  *slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (*slave < 0)
    return -1;
  copy_size(STDIN_FILENO, *slave);
  return tcsetattr(*slave, TCSANOW, &v->before);
}

/* Every key goes through as it is. */
static void make_raw(const visit *v) {
  struct termios raw = v->before;
  cfmakeraw(&raw);
  tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

static void make_usual(const visit *v) {
  if (v->master >= 0)
    tcsetattr(STDIN_FILENO, TCSADRAIN, &v->before);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static int send_request(const visit *v, const char *host, char *const argv[], const int *fds) {
  char folder[PATH_MAX], *body;
  sim_wire_head head;
  if (!getcwd(folder, sizeof folder))
    snprintf(folder, sizeof folder, "/");
  int status = sim_wire_pack(host, folder, argv, environ, &head, &body);
  if (status)
    return complain("arguments and environment are too long", SIM_EXIT_USAGE);
  head.terminal = v->master >= 0;
  bool sent = sim_wire_send(v->fd, &head, sizeof head, fds) &&
              sim_wire_send(v->fd, body, head.body_len, NULL);
  free(body);
  return sent ? 0 : complain("the laboratory does not listen", SIM_EXIT_NO_LAB);
}

/* Asks for the program, with what it shall read and write. */
static int ask(visit *v, const char *host, char *const argv[]) {
  int slave = -1;
  int fds[SIM_WIRE_DESCRIPTORS] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
  bool terminal =
      isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && !tcgetattr(STDIN_FILENO, &v->before);
  if (terminal && open_terminal(v, &slave))
    return complain("cannot open a terminal for the program", SIM_EXIT_NO_LAB);
  if (terminal) {
    fds[0] = fds[1] = slave;
    if (isatty(STDERR_FILENO))
      fds[2] = slave;
  }
  int status = send_request(v, host, argv, fds);
  if (slave >= 0)
    close(slave);
  return status;
}

/* ---- staying --------------------------------------------------------------------------------- */

static bool write_all(int fd, const char *bytes, size_t len) {
  while (len) {
    ssize_t put = write(fd, bytes, len);
    if (put < 0 && errno != EINTR)
      return false;
    bytes += put > 0 ? put : 0;
    len -= put > 0 ? (size_t)put : 0;
  }
  return true;
}

/* Passes on what is there; false at the end. */
static bool pass_on(int from, int to) {
  char bytes[4096];
  ssize_t got = read(from, bytes, sizeof bytes);
  if (got < 0 && errno == EINTR)
    return true;
  return got > 0 && write_all(to, bytes, (size_t)got);
}

static void on_signal(const visit *v) {
  struct signalfd_siginfo info;
  if (read(v->signal_fd, &info, sizeof info) != sizeof info)
    return;
  unsigned char number = (unsigned char)info.ssi_signo;
  if (number == SIGWINCH && v->master >= 0)
    copy_size(STDIN_FILENO, v->master);
  else if (number != SIGWINCH)
    send(v->fd, &number, 1, MSG_NOSIGNAL);
}

/* What the program wrote last is still on its way when it has ended. */
static void drain(const visit *v) {
  struct pollfd wait = {.fd = v->master, .events = POLLIN};
  while (v->master >= 0 && poll(&wait, 1, 0) == 1 && wait.revents & POLLIN &&
         pass_on(v->master, STDOUT_FILENO))
    continue;
}

/* Until the laboratory says that the program has ended. */
static void stay(visit *v) {
  for (;;) {
    struct pollfd waits[] = {
        {.fd = v->fd, .events = POLLIN},
        {.fd = v->signal_fd, .events = POLLIN},
        {.fd = v->master, .events = POLLIN},
        {.fd = v->master >= 0 && v->input_open ? STDIN_FILENO : -1, .events = POLLIN}};
    if (poll(waits, 4, -1) < 0)
      continue;
    if (waits[1].revents)
      on_signal(v);
    if (waits[3].revents)
      v->input_open = pass_on(STDIN_FILENO, v->master);
    /* A terminal that nobody has open any more says so again and again. */
    if (waits[2].revents & POLLIN)
      pass_on(v->master, STDOUT_FILENO);
    if (waits[0].revents)
      return;
    if (waits[2].revents == POLLHUP)
      poll(waits, 2, -1);
  }
}

static int conclude(const visit *v) {
  sim_wire_answer answer;
  bool told = sim_wire_receive(v->fd, &answer, sizeof answer, NULL);
  drain(v);
  make_usual(v);
  if (!told)
    return complain("the laboratory has ended", SIM_EXIT_NO_LAB);
  answer.text[sizeof answer.text - 1] = 0;
  if (answer.end == SIM_REFUSED)
    return complain(answer.text, answer.value);
  return answer.end == SIM_KILLED ? 128 + answer.value : answer.value;
}

static int catch_signals(void) {
  static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGUSR1, SIGUSR2};
  sigset_t signals;
  sigemptyset(&signals);
  for (size_t i = 0; i < sizeof caught / sizeof *caught; i++)
    sigaddset(&signals, caught[i]);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  return signalfd(-1, &signals, SFD_CLOEXEC);
}

int sim_visit(const char *name, const char *host, char *const argv[]) {
  ns_error error;
  visit v = {.master = -1, .input_open = true};
  v.fd = sim_lab_connect(name, &error);
  if (v.fd < 0)
    return complain(error.text, SIM_EXIT_NO_LAB);
  v.signal_fd = catch_signals();
  int status = ask(&v, host, argv);
  if (!status) {
    if (v.master >= 0)
      make_raw(&v);
    stay(&v);
    status = conclude(&v);
  }
  close(v.fd);
  return status;
}
