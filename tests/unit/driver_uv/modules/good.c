/* A shared object with the symbol that is asked for. */
int warp_test_entry(void);

__attribute__((visibility("default"))) int warp_test_entry(void) {
  return 7;
}
