/* A doubly linked intrusive list with a sentinel. */
#ifndef WG_BASE_LIST_H
#define WG_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct wg_list {
  struct wg_list *next, *prev;
} wg_list;

#define WG_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void wg_list_init(wg_list *list) {
  list->next = list->prev = list;
}
static inline bool wg_list_empty(const wg_list *list) {
  return list->next == list;
}
/* Appends before the sentinel. */
static inline void wg_list_push(wg_list *list, wg_list *item) {
  item->prev = list->prev;
  item->next = list;
  list->prev->next = item;
  list->prev = item;
}
/* Takes an item out; it becomes an empty list, so that removing twice is harmless. */
static inline void wg_list_remove(wg_list *item) {
  item->prev->next = item->next;
  item->next->prev = item->prev;
  wg_list_init(item);
}

#endif
