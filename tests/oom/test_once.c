/* What the secure layer registers with OpenSSL once in a process: who lacks the memory for it gets
 * WARP_NOMEM, and the next one finds nothing broken. Each failure has a process of its own. */
#include "failing.h"

#include "pipe/secure.h"
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { ALLOCATIONS = 24 }; /* more than the registrations make: the rest is SSL_CTX_new's */
enum { AGREED = 0, AGREED_AFTER_A_FAILURE = 10, WRONG_STATUS, STILL_BROKEN };

static void drop(void *arg, const uint8_t *data, size_t len) {
  (void)data;
  *(size_t *)arg += len;
}

/* A client that says its hello. */
static int say_hello(const wg_identity *identity) {
  size_t said = 0;
  wg_secure *secure;
  wg_secure_options options = {.identity = identity,
                               .client = true,
                               .expected = wg_identity_key(identity),
                               .hello = (const uint8_t *)"hello",
                               .hello_len = 5,
                               .output = drop,
                               .arg = &said};
  int status = wg_secure_new(&options, &secure);
  if (status != WARP_OK)
    return status;
  status = wg_secure_handshake(secure);
  wg_secure_free(secure);
  return status == WARP_AGAIN && said > 0 ? WARP_OK : status;
}

/* The child's exit status. */
static int fail_once(const wg_identity *identity, unsigned long number) {
  oom_begin(OOM_OPENSSL, number, number);
  int status = say_hello(identity);
  if (status == WARP_OK)
    return oom_hit() ? AGREED_AFTER_A_FAILURE : AGREED;
  if (status != WARP_NOMEM || !oom_hit())
    return WRONG_STATUS;
  oom_hold(true);
  return say_hello(identity) == WARP_OK ? AGREED_AFTER_A_FAILURE : STILL_BROKEN;
}

static void test_next_one(void **state) {
  (void)state;
  wg_identity *identity;
  assert_int_equal(wg_identity_generate(&identity), WARP_OK);
  SSL_CTX_free(SSL_CTX_new(TLS_method())); /* what OpenSSL itself does once */
  for (unsigned long number = 1; number <= ALLOCATIONS; number++) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
      _exit(fail_once(identity, number));
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), AGREED_AFTER_A_FAILURE);
  }
  wg_identity_free(identity);
}

int main(void) {
  oom_init();
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_next_one)};
  return cmocka_run_group_tests_name("once", tests, NULL, NULL);
}
