// SPDX-License-Identifier: Apache-2.0
// A short description of who maps how much memory for how many devices, and what may not be described.

/** Who serves the program. */
export type BackEnd = 'type1' | 'iommufd' | 'vfio-compat'

/** Whom pinned memory is counted for; 'none' is a mapper with CAP_IPC_LOCK. */
export type Accounting = 'user' | 'process' | 'none'

/** Whether a process's devices share one address space, or each has its own, mapped anew or copied. */
export type AddressSpaces = 'shared' | 'each' | 'copy'

export interface Setup {
  /** Devices of each process. */
  readonly devices: number
  /** Bytes that each process maps for them. */
  readonly memory: bigint
  /** Bytes of the pages that this memory is made of: 4 KiB, 2 MiB, 1 GiB. */
  readonly pageSize: bigint
  readonly backEnd: BackEnd
  readonly accounting: Accounting
  readonly addressSpaces: AddressSpaces
  /** Processes of each user. */
  readonly processes: number
  readonly users: number
}

const DEFAULT_ACCOUNTING: Readonly<Record<BackEnd, Accounting>> = {
  type1: 'process',
  iommufd: 'user',
  'vfio-compat': 'process',
}

/** A setup with what is usual for the rest. */
export function setupOf(given: Partial<Setup> & Pick<Setup, 'memory'>): Setup {
  const backEnd = given.backEnd ?? 'iommufd'
  const usual: Setup = {
    devices: 1,
    memory: given.memory,
    pageSize: 4096n,
    backEnd,
    accounting: DEFAULT_ACCOUNTING[backEnd],
    addressSpaces: 'shared',
    processes: 1,
    users: 1,
  }
  return { ...usual, ...given }
}

/** What is wrong with a setup: the field and why; undefined: nothing. */
export function setupProblem(setup: Setup): { field: keyof Setup; problem: string } | undefined {
  const { accounting, addressSpaces, backEnd, memory, pageSize } = setup
  for (const field of ['devices', 'processes', 'users'] as const) {
    if (!Number.isSafeInteger(setup[field]) || setup[field] < 1) {
      return { field, problem: `${setup[field]} is not a number from 1` }
    }
  }
  if (memory < 1n) return { field: 'memory', problem: 'nothing is mapped' }
  if (pageSize < 4096n || (pageSize & (pageSize - 1n)) !== 0n) {
    return { field: 'pageSize', problem: `${pageSize} is not a power of two from 4096` }
  }
  if (backEnd === 'type1' && accounting === 'user') {
    return { field: 'accounting', problem: 'vfio_iommu_type1 counts per process only' }
  }
  if (backEnd !== 'iommufd' && addressSpaces === 'copy') {
    return { field: 'addressSpaces', problem: `${backEnd} cannot copy mappings (IOMMU_IOAS_COPY)` }
  }
  return undefined
}
