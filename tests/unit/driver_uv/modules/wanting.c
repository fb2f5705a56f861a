/* A shared object that needs what nobody has. */
extern int warp_of_a_later_version(void);
int warp_test_entry(void);

__attribute__((visibility("default"))) int warp_test_entry(void) {
  return warp_of_a_later_version();
}
