// SPDX-License-Identifier: Apache-2.0
//
// The constants of Linux on x86-64 that a program beside iommufd needs: memory, files, limits,
// capabilities. Not the whole of those headers: what such programs use.
//
// Invariant: names and values are those of the kernel's uAPI headers.

/** Bytes in a page. */
export const PAGE_SIZE = 4096
/** log2(PAGE_SIZE) */
export const PAGE_SHIFT = 12

// mmap and mprotect: prot
export const PROT_NONE = 0x0
export const PROT_READ = 0x1
export const PROT_WRITE = 0x2
export const PROT_EXEC = 0x4

// mmap: flags
export const MAP_SHARED = 0x1
export const MAP_PRIVATE = 0x2
export const MAP_SHARED_VALIDATE = 0x3
/** The bits that hold one of the three above. */
export const MAP_TYPE = 0xf
export const MAP_FIXED = 0x10
export const MAP_ANONYMOUS = 0x20
export const MAP_LOCKED = 0x2000
export const MAP_NORESERVE = 0x4000
export const MAP_POPULATE = 0x8000
export const MAP_HUGETLB = 0x40000
/** MAP_FIXED that gives EEXIST instead of replacing. */
export const MAP_FIXED_NOREPLACE = 0x100000

// madvise
export const MADV_DONTNEED = 4
export const MADV_DONTFORK = 10
export const MADV_DOFORK = 11
export const MADV_HUGEPAGE = 14
export const MADV_NOHUGEPAGE = 15

// memfd_create: flags
export const MFD_CLOEXEC = 0x1
export const MFD_ALLOW_SEALING = 0x2
export const MFD_HUGETLB = 0x4
export const MFD_NOEXEC_SEAL = 0x8
export const MFD_EXEC = 0x10

// open: flags
export const O_RDONLY = 0x0
export const O_WRONLY = 0x1
export const O_RDWR = 0x2
/** The bits that hold one of the three above. */
export const O_ACCMODE = 0x3
export const O_CREAT = 0x40
export const O_EXCL = 0x80
export const O_TRUNC = 0x200
export const O_APPEND = 0x400
export const O_NONBLOCK = 0x800
export const O_CLOEXEC = 0x80000

// fcntl
export const F_DUPFD = 0
export const F_GETFD = 1
export const F_SETFD = 2
export const F_GETFL = 3
export const F_SETFL = 4
export const F_DUPFD_CLOEXEC = 1030
export const FD_CLOEXEC = 0x1

// eventfd: flags
export const EFD_SEMAPHORE = 0x1
export const EFD_NONBLOCK = 0x800
export const EFD_CLOEXEC = 0x80000

// poll: events
export const POLLIN = 0x1
export const POLLPRI = 0x2
export const POLLOUT = 0x4
export const POLLERR = 0x8
export const POLLHUP = 0x10
export const POLLNVAL = 0x20
export const POLLRDNORM = 0x40
export const POLLWRNORM = 0x100

// setrlimit: resource
export const RLIMIT_NOFILE = 7
/** Bytes of memory that may be locked or pinned. */
export const RLIMIT_MEMLOCK = 8
/** No limit: every bit of the 64. */
export const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn

// capabilities
/** Lock and pin memory without limit. */
export const CAP_IPC_LOCK = 14
/** Drive hardware without an IOMMU. */
export const CAP_SYS_RAWIO = 17
export const CAP_SYS_ADMIN = 21
/** Raise limits; change IOMMU_OPTION_RLIMIT_MODE. */
export const CAP_SYS_RESOURCE = 24
