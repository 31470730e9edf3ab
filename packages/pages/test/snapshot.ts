// SPDX-License-Identifier: Apache-2.0
//
// Everything that a refused call must leave as it was, as lines of text: objects, areas, allowed and reserved ranges,
// records, pins, charges. Two states are the same when their lines are.

import type { IommufdIoas } from '../src/ioas.js'
import type { RangeTree } from '../src/range-tree.js'
import type { World } from './harness.js'
import { u64 } from './u64.js'

export function snapshot({ machine, engine, tables }: World): string[] {
  const lines = [
    `areas ${tables.areas.count}, pages ${tables.pages.count} (${tables.pages.pinnedCount} pinned)`,
    `frames ${machine.framesInUse}, pinned ${machine.pinnedFrames}`,
  ]
  for (const { pid, mm, user } of machine.processes) {
    const counts = `VmPin ${mm.pinnedVm}, VmLck ${mm.lockedVm}, user ${user.lockedVm}`
    lines.push(`process ${pid}: ${counts}`)
  }
  for (const ctx of engine.contexts) {
    lines.push(`context, mode ${ctx.accountMode}`)
    for (const object of ctx.objects) {
      lines.push(`object ${object.id} ${object.typeName}, users ${object.users}`)
      if (object.typeName === 'IOAS') lines.push(...ioasLines(object as IommufdIoas))
    }
  }
  return lines
}

/** Areas of one address space, one a line. */
export function areaLines({ iopt }: IommufdIoas): string[] {
  const { areas, pages: table } = iopt.tables
  return ranges(iopt.areas, (area) => {
    const pages = areas.pages[area] as number
    const byte = u64(areas.startHi[area] as number, areas.startLo[area] as number)
    const state = `flags ${areas.flags[area]}, accesses ${areas.accesses[area]}`
    const owner = `process ${table.owner(pages).task.pid}, mode ${table.accountMode(pages)}`
    const pins = table.pinned(pages)?.npinned ?? 0
    return `byte ${byte} of pages ${pages} (${pins} pinned, ${owner}), ${state}`
  })
}

function ioasLines(ioas: IommufdIoas): string[] {
  const { iopt } = ioas
  const count = (value: number): string => `${value} times`
  return [
    `alignment ${iopt.alignment}, small pages ${iopt.largePagesDisabled}, users ${iopt.accesses.size}`,
    ...areaLines(ioas).map((line) => `area ${line}`),
    ...ranges(iopt.allowed, () => '').map((line) => `allowed ${line}`),
    ...ranges(iopt.reserved.tree, count).map((line) => `reserved ${line}`),
  ]
}

function ranges(tree: RangeTree, text: (value: number) => string): string[] {
  const lines: string[] = []
  for (let pos = tree.first(); pos >= 0; pos = tree.next(pos)) {
    const start = u64(tree.startHi(pos), tree.startLo(pos))
    const last = u64(tree.lastHi(pos), tree.lastLo(pos))
    lines.push(`[0x${start.toString(16)}, 0x${last.toString(16)}] ${text(tree.value(pos))}`.trim())
  }
  return lines
}
