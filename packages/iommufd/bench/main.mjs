// SPDX-License-Identifier: Apache-2.0
// The benchmark: `npm run bench [-- --json] [--rounds N] [--only TEXT]`. Every row says what it is compared with and, where
// there is one, the target. Nothing here fails: a target that is missed is a figure, not an error.

import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { build } from 'esbuild'
import { dma, mapUnmapWithDomain, storedFrameBytes } from './devices.mjs'
import { accessRw, bytesPerArea, bytesPerPinnedPage, iovaRanges, mapUnmap } from './engine.mjs'
import { Anchor, compare, garbage, pin, time } from './measure.mjs'

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '7' },
    only: { type: 'string', default: '' },
  },
})
const rounds = Number(options.rounds)
if (!Number.isInteger(rounds) || rounds < 1) {
  console.error(`bench: --rounds ${options.rounds}: must be a whole number from 1`)
  process.exit(2)
}

/** Handler times of Linux 7.3.4 measured inside its ioctl handler, in nanoseconds; another machine, for orientation. */
const KERNEL = {
  mapUnmap: 441,
  domain4096: 1288,
  domain2097152: 28_500,
  ranges: 140,
  rw4096: 550,
  rw1048576: 92_000,
}

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const anchorFile = (name) => here(`../../pages/bench/anchor/${name}`)
const results = []

function report(row) {
  results.push(row)
  if (!options.json) console.log(line(row))
}

function line({ name, ns, bytes, anchor, ratio, target, garbage: waste }) {
  const cells = [
    name.padEnd(44),
    (ns === undefined
      ? `${bytes.toFixed(1)} bytes`
      : `${ns.toFixed(ns < 100 ? 1 : 0)} ns`
    ).padStart(14),
    (ratio === undefined
      ? ''
      : `${ratio < 0.01 ? ratio.toExponential(1) : ratio.toFixed(2)}x`
    ).padStart(9),
    (anchor ?? '').padEnd(34),
    (target === undefined ? '' : `<= ${target}`).padEnd(10),
    waste === undefined ? '' : `${waste.toFixed(1)} B/op garbage`,
  ]
  return cells.join('  ').trimEnd()
}

const wanted = (name) => name.includes(options.only)

/** Rows of the range tree against the same structure in C, and against one balanced binary tree node per area. */
async function treeRows() {
  const { TreeWorkload } = await import(
    await bundle('../../pages/bench/workload.ts', 'bench-workload')
  )
  const anchors = [
    [
      'binary interval tree in C',
      Anchor.compile('avl', [anchorFile('avl.c'), anchorFile('workload.c')]),
    ],
    [
      'the same B+tree in C',
      Anchor.compile('btree', [anchorFile('btree.c'), anchorFile('workload.c')]),
    ],
  ]
  for (const [row, n, ops, targets] of TREE) {
    const name = `tree ${row}, ${n.toExponential(0).replace('+', '')} areas`
    if (!wanted(name)) continue
    const workload = new TreeWorkload()
    workload.run(row, n, ops, 1)
    for (const [i, [anchor, native]] of anchors.entries()) {
      if (native === undefined) continue
      if (row === 'automatic' && i === 0 && n > 1e5) continue
      const theirOps = row === 'automatic' && i === 0 ? Math.min(ops, 2e7 / n) : ops
      let check
      const theirs = async (round) => {
        const sample = await native.run(row, n, theirOps, round + 1)
        check = theirOps === ops ? sample.check : undefined
        return sample.ns
      }
      const ours = (round) => {
        const sample = workload.run(row, n, ops, round + 1)
        if (check !== undefined && check !== sample.check) {
          throw new Error(`${name}: the native side computed something else`)
        }
        return sample.ns
      }
      const slow = row === 'insert' || n >= 1e6 ? Math.min(rounds, 5) : rounds
      report({ name, anchor, target: targets[i], ...(await compare(slow, ours, theirs)) })
    }
    if (row !== 'insert' && row !== 'search')
      report({
        name,
        ns: time((k) => workload.run(row, n, k, 1), ops),
        garbage: garbage((k) => workload.run(row, n, k, 1), ops),
      })
  }
  for (const [, native] of anchors) native?.close()
}

const TREE = [
  ['churn', 1e3, 200_000, ['1.9x', '2.8x']],
  ['churn', 1e4, 200_000, ['1.6x', undefined]],
  ['churn', 1e5, 200_000, ['0.85x', '2.4x']],
  ['churn', 1e6, 200_000, ['0.75x', '2.4x']],
  ['find', 1e3, 400_000, ['1.9x', undefined]],
  ['find', 1e5, 400_000, ['0.75x', undefined]],
  ['find', 1e6, 400_000, ['0.75x', undefined]],
  ['ascending', 1e5, 100_000, ['0.5x', undefined]],
  ['insert', 1e5, 100_000, [undefined, undefined]],
  ['automatic', 1e3, 100_000, ['0.3x', undefined]],
  ['automatic', 1e5, 100_000, ['0.002x', undefined]],
  ['search', 1e5, 1, [undefined, undefined]],
]

/** Rows of page tables against the same tables in C. */
async function pageTableRows() {
  const { run, tableBytesPerPage } = await import(
    await bundle('../../hw-iommu/bench/workload.ts', 'bench-pagetable')
  )
  const file = here('../../hw-iommu/bench/anchor/radix.c')
  const native = Anchor.compile('radix', [file])
  for (const [row, label, n, ops, target] of PAGE_TABLES) {
    const name = `page table: ${label}`
    if (!wanted(name)) continue
    run(row, n, ops, 1)
    let check
    const theirs = async (round) => {
      const sample = await native.run(row, n, ops, round + 1)
      check = sample.check
      return sample.ns
    }
    const ours = (round) => {
      const sample = run(row, n, ops, round + 1)
      if (check !== undefined && check !== sample.check) {
        throw new Error(`${name}: the native side found something else`)
      }
      return sample.ns
    }
    const result = await compare(rounds, ours, native && row !== 'iotlb' ? theirs : undefined)
    report({ name, anchor: row === 'iotlb' ? undefined : 'the same table in C', target, ...result })
  }
  const name = 'page table: bytes per page of 4 KiB'
  if (wanted(name)) report({ name, bytes: tableBytesPerPage(1 << 20), target: '8.1 bytes' })
  native?.close()
}

/** Row, what it is, pages, operations, target against C. */
const PAGE_TABLES = [
  ['pages', 'map 4 KiB, a call each', 1 << 20, 1, undefined],
  ['frames', 'map 4 KiB, scattered frames', 1 << 20, 1, '4.5x'],
  ['run', 'map 4 KiB, one run', 1 << 20, 1, undefined],
  ['unmap', 'unmap 4 KiB of 4 GiB', 1 << 20, 1, undefined],
  ['pair', 'unmap + map 4 KiB at random', 1 << 20, 1_000_000, undefined],
  ['large2m', 'map + unmap a leaf of 2 MiB', 512, 1 << 18, '5x'],
  ['large1g', 'map + unmap a leaf of 1 GiB', 128, 1 << 18, undefined],
  ['walk', 'walk at random, 1 Mi pages', 1 << 20, 2_000_000, undefined],
  ['sequential', 'walk in sequence, 1 Mi pages', 1 << 20, 2_000_000, undefined],
  ['iotlb', 'IOTLB hit', 256, 5_000_000, undefined],
]

/** A workload in TypeScript, bundled for Node: where it is. */
async function bundle(entry, name) {
  const outfile = here(`../node_modules/.cache/${name}.mjs`)
  await build({
    entryPoints: [here(entry)],
    outfile,
    bundle: true,
    format: 'esm',
    conditions: ['@iommufd/source'],
  })
  return outfile
}

/** Rows of whole calls. */
async function callRows() {
  const native = Anchor.compile('calls', [here('calls.c')])
  const rows = [
    ...[4096, 2 << 20].flatMap((length) =>
      [1e3, 1e5].map((others) => ({
        name: `MAP + UNMAP of ${size(length)}, ${others.toExponential(0).replace('+', '')} areas`,
        make: () => mapUnmap(length, others),
        ops: 100_000,
        anchor: 'two empty ioctl() calls',
        native: ['ioctls', 0],
        target: others === 1e5 ? '1.5x' : undefined,
        kernelNs: KERNEL.mapUnmap,
      })),
    ),
    ...[4096, 2 << 20].map((length) => ({
      name: `MAP + UNMAP of ${size(length)}, one domain`,
      make: () => mapUnmapWithDomain(length),
      ops: length > 65536 ? 2000 : 100_000,
      anchor: 'two empty ioctl() calls',
      native: ['ioctls', 0],
      kernelNs: KERNEL[`domain${length}`],
    })),
    ...[4096, 1 << 20].flatMap((bytes) =>
      [false, true].map((isWrite) => ({
        name: `DMA ${isWrite ? 'write' : 'read'} ${size(bytes)}`,
        make: () => dma(bytes, isWrite),
        ops: bytes > 65536 ? 500 : 100_000,
        anchor: 'memcpy',
        native: ['memcpy', bytes],
      })),
    ),
    { name: 'IOVA_RANGES, one range', make: iovaRanges, ops: 200_000, kernelNs: KERNEL.ranges },
    ...[64, 4096, 1 << 20].flatMap((bytes) =>
      [0, 1].flatMap((flags) =>
        [false, true].map((pinned) => ({
          name: `access ${flags === 0 ? 'read' : 'write'} ${size(bytes)}${pinned ? ', pinned' : ''}`,
          make: () => accessRw(bytes, flags, pinned),
          ops: bytes > 65536 ? 500 : 100_000,
          anchor: 'memcpy',
          native: ['memcpy', bytes],
          kernelNs: KERNEL[`rw${bytes}`],
        })),
      ),
    ),
  ]
  for (const { name, make, ops, anchor, native: row, target, kernelNs } of rows) {
    if (!wanted(name)) continue
    const run = make()
    run(ops)
    const theirs = row && native ? async () => (await native.run(...row, ops)).ns : undefined
    const result = await compare(rounds, () => time(run, ops), theirs)
    report({ name, anchor, target, kernelNs, ...result, garbage: garbage(run, ops) })
  }
  native?.close()
}

/** Rows of the VFIO container. */
async function containerRows() {
  const { mapUnmapDma, splitDma } = await import(
    await bundle('../../vfio-compat/bench/workload.ts', 'bench-container')
  )
  const native = Anchor.compile('calls', [here('calls.c')])
  const anchor = 'two empty ioctl() calls'
  const rows = [
    ...[4096, 2 << 20].map((length) => [
      `MAP_DMA + UNMAP_DMA of ${size(length)}, a device`,
      () => mapUnmapDma(length, 0, true),
      length > 4096 ? 2000 : 50_000,
    ]),
    ...[1e3, 1e5].map((others) => [
      `TYPE1 unmap that splits, ${others.toExponential(0).replace('+', '')} areas`,
      () => splitDma(others, false),
      20_000,
    ]),
  ]
  for (const [name, make, ops] of rows) {
    if (!wanted(name)) continue
    const run = make()
    run(ops)
    const theirs = native && (async () => (await native.run('ioctls', 0, ops)).ns)
    report({ name, anchor, ...(await compare(rounds, () => time(run, ops), theirs)) })
  }
  native?.close()
}

function size(bytes) {
  if (bytes >= 1 << 20) return `${bytes >> 20} MiB`
  return bytes >= 1024 ? `${bytes >> 10} KiB` : `${bytes} B`
}

function memoryRows() {
  const rows = [
    ['tree and records per area, 1e5 areas', () => bytesPerArea(1e5), '72 bytes'],
    ['tree and records per area, 1e6 areas', () => bytesPerArea(1e6), '72 bytes'],
    ['stored frames per pinned page', bytesPerPinnedPage, '4.1 bytes'],
    ['stored frames per page, one domain', () => storedFrameBytes(1, false), '0 bytes'],
    ['stored frames per page, domain and access', () => storedFrameBytes(1, true), '4.1 bytes'],
  ]
  for (const [name, bytes, target] of rows) {
    if (wanted(name)) report({ name, bytes: bytes(), target })
  }
}

const pinned = pin()
if (!options.json) {
  console.log(`${cpus()[0]?.model}, Node ${process.version}${pinned ? ', one processor' : ''}\n`)
}
await treeRows()
await pageTableRows()
await callRows()
await containerRows()
const { runRows } = await import(here('../../run/bench/rows.mjs'))
for (const row of await runRows(here('../bin/iommufd.js'), rounds, wanted)) report(row)
memoryRows()
if (options.json) {
  const machine = { cpu: cpus()[0]?.model, node: process.version, pinned, rounds }
  console.log(JSON.stringify({ machine, results }, undefined, 2))
}
