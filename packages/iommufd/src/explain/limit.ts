// SPDX-License-Identifier: Apache-2.0
// Why a call ran into RLIMIT_MEMLOCK: who holds how much of what is counted, and what would help.
//
// What is counted is added up from the mappings themselves, so that it can be told process by process; what is
// left of the count belongs to nobody's mapping any more (a charge that was moved, or a process that is gone).

import type { Iommufd, Refusal } from '@iommufd/core'
import type { Task } from '@iommufd/host'
import { IOAS, type IommufdIoas } from '@iommufd/pages'
import { PAGE_SIZE } from '@iommufd/uapi'

/** One process that memory is locked for. */
export interface LimitHolder {
  readonly pid: number
  readonly bytes: number
  /** The process has exited; its mappings are still there. */
  readonly hasExited: boolean
}

export interface LimitExplanation {
  /** What the limit is compared with: all that the user has locked, or the process alone. */
  readonly counted: 'user' | 'process'
  /** The user, where the user is counted. */
  readonly uid: number | undefined
  /** The process whose limit decides, and which maps. */
  readonly pid: number
  /** Bytes counted before the call, asked for by it, and allowed. */
  readonly lockedBytes: number
  readonly askedBytes: number
  readonly limitBytes: number
  readonly holders: readonly LimitHolder[]
  readonly remedies: readonly string[]
}

const ACCOUNT_USER = 1
const ACCOUNT_MM = 2

/** Explains a refusal for RLIMIT_MEMLOCK; undefined for any other. `task` made the call. */
export function explainLimit(
  engine: Iommufd,
  task: Task,
  refusal: Refusal | undefined,
): LimitExplanation | undefined {
  if (refusal === undefined) return undefined
  const isUser = refusal.id === 'USER_LIMIT_EXCEEDED'
  if (!isUser && refusal.id !== 'PROCESS_LIMIT_EXCEEDED') return undefined
  const { operands } = refusal
  const uid = isUser ? Number(operands.uid) : undefined
  const pid = isUser ? task.pid : Number(operands.pid)
  const bytes = (name: string) => Number(BigInt.asIntN(64, BigInt(operands[name] ?? 0))) * PAGE_SIZE
  const holders = isUser
    ? holdersOf(engine, (owner) => owner.mode === ACCOUNT_USER && owner.uid === uid)
    : holdersOf(engine, (owner) => owner.mode === ACCOUNT_MM && owner.task.pid === pid)
  const told = {
    counted: isUser ? ('user' as const) : ('process' as const),
    uid,
    pid,
    lockedBytes: bytes('locked'),
    askedBytes: bytes('pages'),
    limitBytes: bytes('limit'),
    holders,
  }
  return { ...told, remedies: remediesFor(told) }
}

interface Owned {
  readonly task: Task
  readonly uid: number
  readonly mode: number
  readonly npages: number
}

/** Processes with the most first. */
function holdersOf(engine: Iommufd, isCounted: (owned: Owned) => boolean): LimitHolder[] {
  const held = new Map<Task, number>()
  for (const owned of pinnedMemory(engine)) {
    if (isCounted(owned)) held.set(owned.task, (held.get(owned.task) ?? 0) + owned.npages)
  }
  return [...held]
    .map(([task, pages]) => ({
      pid: task.pid,
      bytes: pages * PAGE_SIZE,
      hasExited: !task.mm.alive,
    }))
    .sort((a, b) => b.bytes - a.bytes || a.pid - b.pid)
}

/** Every piece of memory that is pinned through an address space, once. */
function* pinnedMemory(engine: Iommufd): Generator<Owned> {
  const seen = new Set<number>()
  for (const ctx of engine.contexts) {
    for (const object of ctx.objects) {
      if (IOAS.is(object)) yield* pinnedIn(object, seen)
    }
  }
}

function* pinnedIn({ iopt }: IommufdIoas, seen: Set<number>): Generator<Owned> {
  const { areas, tables } = iopt
  for (let pos = areas.first(); pos >= 0; pos = areas.next(pos)) {
    const pages = tables.areas.pages[areas.value(pos)] as number
    if (seen.has(pages)) continue
    seen.add(pages)
    const npages = tables.pages.pinned(pages)?.npinned ?? 0
    const { task, user } = tables.pages.owner(pages)
    if (npages > 0) yield { task, uid: user.uid, mode: tables.pages.accountMode(pages), npages }
  }
}

type Told = Omit<LimitExplanation, 'remedies'>

/** Only what would have let this call through. */
function remediesFor(told: Told): string[] {
  const { counted, pid, lockedBytes, askedBytes, limitBytes, holders } = told
  const needed = lockedBytes + askedBytes
  const remedies = [
    `raise RLIMIT_MEMLOCK of process ${pid} to at least ${sizeText(needed)}: ulimit -l ${needed / 1024}, ` +
      `prlimit --pid ${pid} --memlock=${needed}, or LimitMEMLOCK=${needed} of its service`,
  ]
  const own = holders.find((holder) => holder.pid === pid)?.bytes ?? 0
  if (counted === 'user' && own + askedBytes <= limitBytes) {
    remedies.push(
      `count this process alone (${sizeText(own + askedBytes)}): open /dev/vfio/vfio, or set IOMMU_OPTION_RLIMIT_MODE to 1 ` +
        'before the first object is made (CAP_SYS_RESOURCE)',
    )
  }
  for (const holder of holders) {
    if (holder.pid === pid || lockedBytes - holder.bytes + askedBytes > limitBytes) continue
    const what = holder.hasExited
      ? `destroy the mappings that process ${holder.pid} has left behind`
      : `let process ${holder.pid} unmap`
    remedies.push(`${what} (${sizeText(holder.bytes)})`)
  }
  remedies.push('map with CAP_IPC_LOCK: what is mapped with it is never limited')
  return remedies
}

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** `4 KiB`, `2.1 GiB`: exact where it is whole. */
export function sizeText(bytes: number): string {
  let unit = 0
  let value = bytes
  while (Math.abs(value) >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${UNITS[unit]}`
}
