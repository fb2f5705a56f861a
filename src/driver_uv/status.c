#include "driver_uv/driver.h"

#include <errno.h>

int wg_uv_status(int error) {
  switch (error < 0 ? -error : error) {
  case 0:
    return WARP_OK;
  case EINVAL:
  case EDESTADDRREQ:
  case ENAMETOOLONG:
    return WARP_INVALID;
  case ENOMEM:
  case ENOBUFS:
    return WARP_NOMEM;
  case ECANCELED:
    return WARP_CANCELED;
  case ETIMEDOUT:
    return WARP_TIMEOUT;
  case EPIPE:
  case ENOTCONN:
    return WARP_CLOSED;
  case EAGAIN:
    return WARP_AGAIN;
  case EMSGSIZE:
  case EFBIG:
    return WARP_TOO_BIG;
  case ENETUNREACH:
  case EHOSTUNREACH:
  case ENETDOWN:
    return WARP_UNREACHABLE;
  case ECONNREFUSED:
    return WARP_CONN_REFUSED;
  case ECONNRESET:
  case ECONNABORTED:
    return WARP_RESET;
  case EADDRINUSE:
    return WARP_ADDR_IN_USE;
  case EADDRNOTAVAIL:
    return WARP_ADDR_NOT_AVAILABLE;
  case EACCES:
  case EPERM:
  case EROFS:
    return WARP_PERMISSION;
  case ENOENT:
  case ENOTDIR:
    return WARP_NOT_FOUND;
  case EAFNOSUPPORT:
  case EPROTONOSUPPORT:
  case EOPNOTSUPP:
    return WARP_UNSUPPORTED;
  case EMFILE:
  case ENFILE:
    return WARP_LIMIT;
  default:
    return WARP_IO;
  }
}
