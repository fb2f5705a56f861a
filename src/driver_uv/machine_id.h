/* Where a machine's hardware identifier comes from. */
#ifndef WG_DRIVER_UV_MACHINE_ID_H
#define WG_DRIVER_UV_MACHINE_ID_H

#include <stddef.h>

/* Longest identifier with its NUL: a kind, '=' and a UUID. */
enum { WG_UV_MACHINE_ID_LEN = 80 };

/* What the operating system calls this machine, as text "kind=value". `root` is put before the
 * paths it reads ("" but in tests). One of these per system. WARP_NOT_FOUND. */
int wg_uv_machine_id_of_system(const char *root, char out[WG_UV_MACHINE_ID_LEN]);

/* The hardware address that is most likely still there at the next start, as text "mac=...".
 * WARP_NOT_FOUND. */
int wg_uv_machine_id_of_macs(char out[WG_UV_MACHINE_ID_LEN]);

#endif
