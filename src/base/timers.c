#include "base/timers.h"

/* A pairing heap: the root is the earliest; each node's children form a list of siblings. */

static bool earlier(const wg_timer *a, const wg_timer *b) {
  return a->deadline_us != b->deadline_us ? a->deadline_us < b->deadline_us : a->order < b->order;
}

/* Joins two heaps whose roots have no siblings; either may be NULL. */
static wg_timer *meld(wg_timer *a, wg_timer *b) {
  if (a == NULL || b == NULL) {
    return a != NULL ? a : b;
  }
  if (earlier(b, a)) {
    wg_timer *kept = a;
    a = b;
    b = kept;
  }
  b->prev = a;
  b->next = a->child;
  if (a->child != NULL) {
    a->child->prev = b;
  }
  a->child = b;
  return a;
}

/* Makes one heap of a list of siblings: first in pairs from the left, then all from the right. */
static wg_timer *meld_siblings(wg_timer *first) {
  wg_timer *pairs = NULL; /* linked by `next`, the last pair first */
  while (first != NULL) {
    wg_timer *a = first;
    wg_timer *b = a->next;
    first = b != NULL ? b->next : NULL;
    a->next = a->prev = NULL;
    if (b != NULL) {
      b->next = b->prev = NULL;
    }
    a = meld(a, b);
    a->next = pairs;
    pairs = a;
  }
  wg_timer *root = NULL;
  while (pairs != NULL) {
    wg_timer *rest = pairs->next;
    pairs->next = NULL;
    root = meld(root, pairs);
    pairs = rest;
  }
  return root;
}

/* Takes a timer out of the heap that it is in. */
static void take_out(wg_timer **root, wg_timer *timer) {
  wg_timer *children = meld_siblings(timer->child);
  timer->child = NULL;
  if (timer == *root) {
    *root = children;
    return;
  }
  if (timer->prev->child == timer) {
    timer->prev->child = timer->next;
  } else {
    timer->prev->next = timer->next;
  }
  if (timer->next != NULL) {
    timer->next->prev = timer->prev;
  }
  timer->next = timer->prev = NULL;
  *root = meld(*root, children);
}

void wg_timers_start(wg_timers *timers, wg_timer *timer, uint64_t deadline_us, wg_timer_cb cb,
                     void *arg) {
  wg_timers_stop(timers, timer);
  *timer = (wg_timer){
      .deadline_us = deadline_us,
      .order = timers->next_order++,
      .running = true,
      .cb = cb,
      .arg = arg,
  };
  timers->root = meld(timers->root, timer);
  timers->running++;
}

void wg_timers_stop(wg_timers *timers, wg_timer *timer) {
  if (!timer->running) {
    return;
  }
  take_out(timer->due ? &timers->due : &timers->root, timer);
  timer->running = false;
  timer->due = false;
  timers->running--;
}

uint64_t wg_timers_next(const wg_timers *timers) {
  if (timers->due != NULL) { /* a callback asks: what is due goes before all others */
    return timers->due->deadline_us;
  }
  return timers->root != NULL ? timers->root->deadline_us : UINT64_MAX;
}

size_t wg_timers_run(wg_timers *timers, uint64_t now_us) {
  /* What is due goes into a heap of its own first, where callbacks can still stop it and where
   * nothing that they start gets in. */
  while (timers->root != NULL && timers->root->deadline_us <= now_us) {
    wg_timer *timer = timers->root;
    take_out(&timers->root, timer);
    timer->due = true;
    timers->due = meld(timers->due, timer);
  }
  size_t fired = 0;
  while (timers->due != NULL) {
    wg_timer *timer = timers->due;
    wg_timers_stop(timers, timer);
    timer->cb(timer->arg);
    fired++;
  }
  return fired;
}
