// SPDX-License-Identifier: Apache-2.0
// Estimates as text.

import Table from 'cli-table3'
import type { Estimate } from '../estimate/estimate.js'
import type { Peaks } from '../estimate/peaks.js'
import type { Setup } from '../estimate/setup.js'
import { sizeText } from '../explain/limit.js'
import type { Needs } from './estimate-command.js'
import { borderless } from './report.js'

const size = (bytes: bigint | number): string => sizeText(Number(bytes))

export function setupText(setup: Setup, result: Estimate, limit: bigint | undefined): string {
  const { users, processes, memory, devices, backEnd, addressSpaces } = setup
  const who = `${plural(users, 'user')} with ${plural(processes, 'process', 'processes')} each`
  const lines = [
    `${who}, ${plural(devices, 'device')} and ${size(memory)} per process, ${backEnd}, address spaces ${addressSpaces}`,
    '',
    row('pinned per process', size(result.perProcess)),
    row('VmPin of each process', size(result.vmPin)),
    row('VmLck of each process', size(result.vmLck)),
    row('charged to each user', size(result.perUser)),
    '',
    ...limitLines(setup, result.limit, limit),
    ...notes(setup).map((note) => `note: ${note}`),
  ]
  return `${lines.join('\n')}\n`
}

function limitLines(
  { accounting, processes }: Setup,
  needed: bigint | undefined,
  limit: bigint | undefined,
): string[] {
  if (needed === undefined)
    return ['no limit applies: what is mapped with CAP_IPC_LOCK is not limited']
  const counted =
    accounting === 'user'
      ? `counted for the user over its ${plural(processes, 'process', 'processes')}, compared with the limit of whichever maps`
      : 'counted for the process alone'
  const lines = [`${counted}`, `RLIMIT_MEMLOCK of each process must be at least ${size(needed)}`]
  if (limit !== undefined && limit >= needed) return [...lines, `${size(limit)} is enough`]
  if (limit !== undefined) lines.push(`${size(limit)} is too low by ${size(needed - limit)}`)
  return [...lines, ...remedies(needed)]
}

function remedies(needed: bigint): string[] {
  return [
    `raise it: ulimit -l ${needed / 1024n} (KiB), LimitMEMLOCK=${needed} of a service, ` +
      `memlock ${needed / 1024n} in limits.conf, or prlimit --memlock=${needed}`,
  ]
}

function notes({ accounting, backEnd, pageSize, addressSpaces, devices }: Setup): string[] {
  const told: string[] = []
  if (pageSize > 4096n) told.push('pages are counted in 4 KiB each, whatever they are made of')
  if (accounting === 'process' || backEnd === 'type1') {
    told.push('what the process locks itself (mlock) counts in the same number')
  }
  if (accounting === 'user') {
    told.push('what else the user has locked (io_uring, perf, BPF) counts in the same number')
  }
  if (addressSpaces === 'each' && devices > 1) {
    told.push(
      backEnd === 'iommufd'
        ? 'IOMMU_IOAS_COPY into the other address spaces would count the memory once'
        : 'one container for all devices would count the memory once',
    )
  }
  if (backEnd === 'type1' && accounting === 'none') {
    told.push('type 1 counts VmLck with CAP_IPC_LOCK too; it only does not limit it')
  }
  return told
}

export function peaksText(file: string, { processes, users }: Peaks, needs: Needs): string {
  const head = ['process', 'uid', 'VmPin', 'VmLck', 'VmLck with type 1']
  const table = plainTable(head)
  for (const { pid, uid, vmPin, vmLck, type1VmLck } of processes) {
    table.push([`${pid}`, `${uid}`, size(vmPin), size(vmLck), size(type1VmLck)])
  }
  const userTable = plainTable(['uid', 'charged', 'pinned by all its processes'])
  for (const { uid, charged, pinned } of users) {
    userTable.push([`${uid}`, size(charged), size(pinned)])
  }
  const parts = [`${file}: the most that was locked at a time`, textOf(table)]
  if (users.length > 0) parts.push(textOf(userTable))
  parts.push(
    [
      'RLIMIT_MEMLOCK that the program needs without CAP_IPC_LOCK:',
      row('counted per user (/dev/iommu)', size(needs.user)),
      row('counted per process', size(needs.process)),
      ...(needs.type1 === undefined ? [] : [row('with vfio_iommu_type1', size(needs.type1))]),
    ].join('\n'),
  )
  return `${parts.join('\n\n')}\n`
}

function plainTable(head: string[]): Table.Table {
  return new Table({
    head,
    colAligns: head.map(() => 'right'),
    chars: borderless,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
  })
}

const textOf = (table: Table.Table): string => table.toString().replace(/ +$/gm, '')

const row = (name: string, value: string): string => `  ${name.padEnd(30)}${value}`

const plural = (count: number, one: string, many = `${one}s`): string =>
  `${count} ${count === 1 ? one : many}`
