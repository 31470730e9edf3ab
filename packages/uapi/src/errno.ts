// SPDX-License-Identifier: Apache-2.0
//
// Error numbers of Linux on x86-64 (asm-generic), with name and short text.
//
// Invariant: numbers are positive here; the engine's functions return them negated. 41 and 58 are not
// used by Linux. EWOULDBLOCK and EDEADLOCK are second names.

export const EPERM = 1
export const ENOENT = 2
export const ESRCH = 3
export const EINTR = 4
export const EIO = 5
export const ENXIO = 6
export const E2BIG = 7
export const ENOEXEC = 8
export const EBADF = 9
export const ECHILD = 10
export const EAGAIN = 11
export const ENOMEM = 12
export const EACCES = 13
export const EFAULT = 14
export const ENOTBLK = 15
export const EBUSY = 16
export const EEXIST = 17
export const EXDEV = 18
export const ENODEV = 19
export const ENOTDIR = 20
export const EISDIR = 21
export const EINVAL = 22
export const ENFILE = 23
export const EMFILE = 24
export const ENOTTY = 25
export const ETXTBSY = 26
export const EFBIG = 27
export const ENOSPC = 28
export const ESPIPE = 29
export const EROFS = 30
export const EMLINK = 31
export const EPIPE = 32
export const EDOM = 33
export const ERANGE = 34
export const EDEADLK = 35
export const ENAMETOOLONG = 36
export const ENOLCK = 37
export const ENOSYS = 38
export const ENOTEMPTY = 39
export const ELOOP = 40
export const ENOMSG = 42
export const EIDRM = 43
export const ECHRNG = 44
export const EL2NSYNC = 45
export const EL3HLT = 46
export const EL3RST = 47
export const ELNRNG = 48
export const EUNATCH = 49
export const ENOCSI = 50
export const EL2HLT = 51
export const EBADE = 52
export const EBADR = 53
export const EXFULL = 54
export const ENOANO = 55
export const EBADRQC = 56
export const EBADSLT = 57
export const EBFONT = 59
export const ENOSTR = 60
export const ENODATA = 61
export const ETIME = 62
export const ENOSR = 63
export const ENONET = 64
export const ENOPKG = 65
export const EREMOTE = 66
export const ENOLINK = 67
export const EADV = 68
export const ESRMNT = 69
export const ECOMM = 70
export const EPROTO = 71
export const EMULTIHOP = 72
export const EDOTDOT = 73
export const EBADMSG = 74
export const EOVERFLOW = 75
export const ENOTUNIQ = 76
export const EBADFD = 77
export const EREMCHG = 78
export const ELIBACC = 79
export const ELIBBAD = 80
export const ELIBSCN = 81
export const ELIBMAX = 82
export const ELIBEXEC = 83
export const EILSEQ = 84
export const ERESTART = 85
export const ESTRPIPE = 86
export const EUSERS = 87
export const ENOTSOCK = 88
export const EDESTADDRREQ = 89
export const EMSGSIZE = 90
export const EPROTOTYPE = 91
export const ENOPROTOOPT = 92
export const EPROTONOSUPPORT = 93
export const ESOCKTNOSUPPORT = 94
export const EOPNOTSUPP = 95
export const EPFNOSUPPORT = 96
export const EAFNOSUPPORT = 97
export const EADDRINUSE = 98
export const EADDRNOTAVAIL = 99
export const ENETDOWN = 100
export const ENETUNREACH = 101
export const ENETRESET = 102
export const ECONNABORTED = 103
export const ECONNRESET = 104
export const ENOBUFS = 105
export const EISCONN = 106
export const ENOTCONN = 107
export const ESHUTDOWN = 108
export const ETOOMANYREFS = 109
export const ETIMEDOUT = 110
export const ECONNREFUSED = 111
export const EHOSTDOWN = 112
export const EHOSTUNREACH = 113
export const EALREADY = 114
export const EINPROGRESS = 115
export const ESTALE = 116
export const EUCLEAN = 117
export const ENOTNAM = 118
export const ENAVAIL = 119
export const EISNAM = 120
export const EREMOTEIO = 121
export const EDQUOT = 122
export const ENOMEDIUM = 123
export const EMEDIUMTYPE = 124
export const ECANCELED = 125
export const ENOKEY = 126
export const EKEYEXPIRED = 127
export const EKEYREVOKED = 128
export const EKEYREJECTED = 129
export const EOWNERDEAD = 130
export const ENOTRECOVERABLE = 131
export const ERFKILL = 132
export const EHWPOISON = 133

/** EAGAIN */
export const EWOULDBLOCK = 11
/** EDEADLK */
export const EDEADLOCK = 35

/** One error number: its C name and the text that strerror() gives. */
export interface ErrnoInfo {
  readonly errno: number
  readonly name: string
  readonly text: string
}

/** Every error number, ascending. */
export const errnos: readonly ErrnoInfo[] = [
  { errno: EPERM, name: 'EPERM', text: 'Operation not permitted' },
  { errno: ENOENT, name: 'ENOENT', text: 'No such file or directory' },
  { errno: ESRCH, name: 'ESRCH', text: 'No such process' },
  { errno: EINTR, name: 'EINTR', text: 'Interrupted system call' },
  { errno: EIO, name: 'EIO', text: 'Input/output error' },
  { errno: ENXIO, name: 'ENXIO', text: 'No such device or address' },
  { errno: E2BIG, name: 'E2BIG', text: 'Argument list too long' },
  { errno: ENOEXEC, name: 'ENOEXEC', text: 'Exec format error' },
  { errno: EBADF, name: 'EBADF', text: 'Bad file descriptor' },
  { errno: ECHILD, name: 'ECHILD', text: 'No child processes' },
  { errno: EAGAIN, name: 'EAGAIN', text: 'Resource temporarily unavailable' },
  { errno: ENOMEM, name: 'ENOMEM', text: 'Cannot allocate memory' },
  { errno: EACCES, name: 'EACCES', text: 'Permission denied' },
  { errno: EFAULT, name: 'EFAULT', text: 'Bad address' },
  { errno: ENOTBLK, name: 'ENOTBLK', text: 'Block device required' },
  { errno: EBUSY, name: 'EBUSY', text: 'Device or resource busy' },
  { errno: EEXIST, name: 'EEXIST', text: 'File exists' },
  { errno: EXDEV, name: 'EXDEV', text: 'Invalid cross-device link' },
  { errno: ENODEV, name: 'ENODEV', text: 'No such device' },
  { errno: ENOTDIR, name: 'ENOTDIR', text: 'Not a directory' },
  { errno: EISDIR, name: 'EISDIR', text: 'Is a directory' },
  { errno: EINVAL, name: 'EINVAL', text: 'Invalid argument' },
  { errno: ENFILE, name: 'ENFILE', text: 'Too many open files in system' },
  { errno: EMFILE, name: 'EMFILE', text: 'Too many open files' },
  { errno: ENOTTY, name: 'ENOTTY', text: 'Inappropriate ioctl for device' },
  { errno: ETXTBSY, name: 'ETXTBSY', text: 'Text file busy' },
  { errno: EFBIG, name: 'EFBIG', text: 'File too large' },
  { errno: ENOSPC, name: 'ENOSPC', text: 'No space left on device' },
  { errno: ESPIPE, name: 'ESPIPE', text: 'Illegal seek' },
  { errno: EROFS, name: 'EROFS', text: 'Read-only file system' },
  { errno: EMLINK, name: 'EMLINK', text: 'Too many links' },
  { errno: EPIPE, name: 'EPIPE', text: 'Broken pipe' },
  { errno: EDOM, name: 'EDOM', text: 'Numerical argument out of domain' },
  { errno: ERANGE, name: 'ERANGE', text: 'Numerical result out of range' },
  { errno: EDEADLK, name: 'EDEADLK', text: 'Resource deadlock avoided' },
  { errno: ENAMETOOLONG, name: 'ENAMETOOLONG', text: 'File name too long' },
  { errno: ENOLCK, name: 'ENOLCK', text: 'No locks available' },
  { errno: ENOSYS, name: 'ENOSYS', text: 'Function not implemented' },
  { errno: ENOTEMPTY, name: 'ENOTEMPTY', text: 'Directory not empty' },
  { errno: ELOOP, name: 'ELOOP', text: 'Too many levels of symbolic links' },
  { errno: ENOMSG, name: 'ENOMSG', text: 'No message of desired type' },
  { errno: EIDRM, name: 'EIDRM', text: 'Identifier removed' },
  { errno: ECHRNG, name: 'ECHRNG', text: 'Channel number out of range' },
  { errno: EL2NSYNC, name: 'EL2NSYNC', text: 'Level 2 not synchronized' },
  { errno: EL3HLT, name: 'EL3HLT', text: 'Level 3 halted' },
  { errno: EL3RST, name: 'EL3RST', text: 'Level 3 reset' },
  { errno: ELNRNG, name: 'ELNRNG', text: 'Link number out of range' },
  { errno: EUNATCH, name: 'EUNATCH', text: 'Protocol driver not attached' },
  { errno: ENOCSI, name: 'ENOCSI', text: 'No CSI structure available' },
  { errno: EL2HLT, name: 'EL2HLT', text: 'Level 2 halted' },
  { errno: EBADE, name: 'EBADE', text: 'Invalid exchange' },
  { errno: EBADR, name: 'EBADR', text: 'Invalid request descriptor' },
  { errno: EXFULL, name: 'EXFULL', text: 'Exchange full' },
  { errno: ENOANO, name: 'ENOANO', text: 'No anode' },
  { errno: EBADRQC, name: 'EBADRQC', text: 'Invalid request code' },
  { errno: EBADSLT, name: 'EBADSLT', text: 'Invalid slot' },
  { errno: EBFONT, name: 'EBFONT', text: 'Bad font file format' },
  { errno: ENOSTR, name: 'ENOSTR', text: 'Device not a stream' },
  { errno: ENODATA, name: 'ENODATA', text: 'No data available' },
  { errno: ETIME, name: 'ETIME', text: 'Timer expired' },
  { errno: ENOSR, name: 'ENOSR', text: 'Out of streams resources' },
  { errno: ENONET, name: 'ENONET', text: 'Machine is not on the network' },
  { errno: ENOPKG, name: 'ENOPKG', text: 'Package not installed' },
  { errno: EREMOTE, name: 'EREMOTE', text: 'Object is remote' },
  { errno: ENOLINK, name: 'ENOLINK', text: 'Link has been severed' },
  { errno: EADV, name: 'EADV', text: 'Advertise error' },
  { errno: ESRMNT, name: 'ESRMNT', text: 'Srmount error' },
  { errno: ECOMM, name: 'ECOMM', text: 'Communication error on send' },
  { errno: EPROTO, name: 'EPROTO', text: 'Protocol error' },
  { errno: EMULTIHOP, name: 'EMULTIHOP', text: 'Multihop attempted' },
  { errno: EDOTDOT, name: 'EDOTDOT', text: 'RFS specific error' },
  { errno: EBADMSG, name: 'EBADMSG', text: 'Bad message' },
  { errno: EOVERFLOW, name: 'EOVERFLOW', text: 'Value too large for defined data type' },
  { errno: ENOTUNIQ, name: 'ENOTUNIQ', text: 'Name not unique on network' },
  { errno: EBADFD, name: 'EBADFD', text: 'File descriptor in bad state' },
  { errno: EREMCHG, name: 'EREMCHG', text: 'Remote address changed' },
  { errno: ELIBACC, name: 'ELIBACC', text: 'Can not access a needed shared library' },
  { errno: ELIBBAD, name: 'ELIBBAD', text: 'Accessing a corrupted shared library' },
  { errno: ELIBSCN, name: 'ELIBSCN', text: '.lib section in a.out corrupted' },
  { errno: ELIBMAX, name: 'ELIBMAX', text: 'Attempting to link in too many shared libraries' },
  { errno: ELIBEXEC, name: 'ELIBEXEC', text: 'Cannot exec a shared library directly' },
  { errno: EILSEQ, name: 'EILSEQ', text: 'Invalid or incomplete multibyte or wide character' },
  { errno: ERESTART, name: 'ERESTART', text: 'Interrupted system call should be restarted' },
  { errno: ESTRPIPE, name: 'ESTRPIPE', text: 'Streams pipe error' },
  { errno: EUSERS, name: 'EUSERS', text: 'Too many users' },
  { errno: ENOTSOCK, name: 'ENOTSOCK', text: 'Socket operation on non-socket' },
  { errno: EDESTADDRREQ, name: 'EDESTADDRREQ', text: 'Destination address required' },
  { errno: EMSGSIZE, name: 'EMSGSIZE', text: 'Message too long' },
  { errno: EPROTOTYPE, name: 'EPROTOTYPE', text: 'Protocol wrong type for socket' },
  { errno: ENOPROTOOPT, name: 'ENOPROTOOPT', text: 'Protocol not available' },
  { errno: EPROTONOSUPPORT, name: 'EPROTONOSUPPORT', text: 'Protocol not supported' },
  { errno: ESOCKTNOSUPPORT, name: 'ESOCKTNOSUPPORT', text: 'Socket type not supported' },
  { errno: EOPNOTSUPP, name: 'EOPNOTSUPP', text: 'Operation not supported' },
  { errno: EPFNOSUPPORT, name: 'EPFNOSUPPORT', text: 'Protocol family not supported' },
  { errno: EAFNOSUPPORT, name: 'EAFNOSUPPORT', text: 'Address family not supported by protocol' },
  { errno: EADDRINUSE, name: 'EADDRINUSE', text: 'Address already in use' },
  { errno: EADDRNOTAVAIL, name: 'EADDRNOTAVAIL', text: 'Cannot assign requested address' },
  { errno: ENETDOWN, name: 'ENETDOWN', text: 'Network is down' },
  { errno: ENETUNREACH, name: 'ENETUNREACH', text: 'Network is unreachable' },
  { errno: ENETRESET, name: 'ENETRESET', text: 'Network dropped connection on reset' },
  { errno: ECONNABORTED, name: 'ECONNABORTED', text: 'Software caused connection abort' },
  { errno: ECONNRESET, name: 'ECONNRESET', text: 'Connection reset by peer' },
  { errno: ENOBUFS, name: 'ENOBUFS', text: 'No buffer space available' },
  { errno: EISCONN, name: 'EISCONN', text: 'Transport endpoint is already connected' },
  { errno: ENOTCONN, name: 'ENOTCONN', text: 'Transport endpoint is not connected' },
  { errno: ESHUTDOWN, name: 'ESHUTDOWN', text: 'Cannot send after transport endpoint shutdown' },
  { errno: ETOOMANYREFS, name: 'ETOOMANYREFS', text: 'Too many references: cannot splice' },
  { errno: ETIMEDOUT, name: 'ETIMEDOUT', text: 'Connection timed out' },
  { errno: ECONNREFUSED, name: 'ECONNREFUSED', text: 'Connection refused' },
  { errno: EHOSTDOWN, name: 'EHOSTDOWN', text: 'Host is down' },
  { errno: EHOSTUNREACH, name: 'EHOSTUNREACH', text: 'No route to host' },
  { errno: EALREADY, name: 'EALREADY', text: 'Operation already in progress' },
  { errno: EINPROGRESS, name: 'EINPROGRESS', text: 'Operation now in progress' },
  { errno: ESTALE, name: 'ESTALE', text: 'Stale file handle' },
  { errno: EUCLEAN, name: 'EUCLEAN', text: 'Structure needs cleaning' },
  { errno: ENOTNAM, name: 'ENOTNAM', text: 'Not a XENIX named type file' },
  { errno: ENAVAIL, name: 'ENAVAIL', text: 'No XENIX semaphores available' },
  { errno: EISNAM, name: 'EISNAM', text: 'Is a named type file' },
  { errno: EREMOTEIO, name: 'EREMOTEIO', text: 'Remote I/O error' },
  { errno: EDQUOT, name: 'EDQUOT', text: 'Disk quota exceeded' },
  { errno: ENOMEDIUM, name: 'ENOMEDIUM', text: 'No medium found' },
  { errno: EMEDIUMTYPE, name: 'EMEDIUMTYPE', text: 'Wrong medium type' },
  { errno: ECANCELED, name: 'ECANCELED', text: 'Operation canceled' },
  { errno: ENOKEY, name: 'ENOKEY', text: 'Required key not available' },
  { errno: EKEYEXPIRED, name: 'EKEYEXPIRED', text: 'Key has expired' },
  { errno: EKEYREVOKED, name: 'EKEYREVOKED', text: 'Key has been revoked' },
  { errno: EKEYREJECTED, name: 'EKEYREJECTED', text: 'Key was rejected by service' },
  { errno: EOWNERDEAD, name: 'EOWNERDEAD', text: 'Owner died' },
  { errno: ENOTRECOVERABLE, name: 'ENOTRECOVERABLE', text: 'State not recoverable' },
  { errno: ERFKILL, name: 'ERFKILL', text: 'Operation not possible due to RF-kill' },
  { errno: EHWPOISON, name: 'EHWPOISON', text: 'Memory page has hardware error' },
]

/** The C name of an error number, given as 22 or -22: 'EINVAL'. Unknown numbers give 'errno 4095'. */
export function errnoName(errno: number): string {
  return find(errno)?.name ?? `errno ${Math.abs(errno)}`
}

/** A short text for an error number, given as 22 or -22: 'Invalid argument'. */
export function errnoText(errno: number): string {
  return find(errno)?.text ?? `Unknown error ${Math.abs(errno)}`
}

function find(errno: number): ErrnoInfo | undefined {
  return errnos.find((info) => info.errno === Math.abs(errno))
}
