#include "natsim/measure.h"

#include <stdlib.h>

static int compare(const void *one, const void *other) {
  double a = *(const double *)one, b = *(const double *)other;
  return (a > b) - (a < b);
}

double sim_quantile(double *numbers, size_t count, double part) {
  qsort(numbers, count, sizeof *numbers, compare);
  double at = part * (double)(count - 1);
  size_t below = (size_t)at, above = below + 1 < count ? below + 1 : below;
  return numbers[below] + (numbers[above] - numbers[below]) * (at - (double)below);
}
