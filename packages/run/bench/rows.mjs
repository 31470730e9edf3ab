// SPDX-License-Identifier: Apache-2.0
// Rows of the benchmark about running programs: what a call costs, what starting costs, what a device's access costs.

import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const cache = here('../node_modules/.cache/bench')

function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1]
}

function elapsed(work) {
  const start = process.hrtime.bigint()
  work()
  return Number(process.hrtime.bigint() - start)
}

function run(program, args) {
  return spawnSync(program, args, { encoding: 'utf8', timeout: 60_000 })
}

/**
 * The rows, in the shape of the benchmark's others; a row that cannot be had here is left out.
 * @param {string} command the file of the `iommufd` command, built
 * @param {number} rounds
 * @param {(name: string) => boolean} wanted
 */
export async function runRows(command, rounds, wanted) {
  mkdirSync(cache, { recursive: true })
  try {
    return [
      ...callRow(command, rounds, wanted),
      ...startRow(command, rounds, wanted),
      ...(await dmaRow(rounds, wanted)),
    ]
  } finally {
    rmSync(cache, { recursive: true, force: true })
  }
}

function callRow(command, rounds, wanted) {
  const name = 'run: one ioctl of a program, median'
  if (!wanted(name)) return []
  const program = `${cache}/latency`
  if (run('cc', ['-O2', '-o', program, here('latency.c')]).status !== 0) return []
  const samples = []
  for (let i = 0; i < rounds; i++) {
    const { status, stdout } = run(process.execPath, [command, 'run', '--', program, '10000'])
    if (status !== 0) return []
    samples.push(Number(stdout))
  }
  return [{ name, ns: median(samples), target: '25000 ns' }]
}

function startRow(command, rounds, wanted) {
  const name = 'run: start-up, beyond the program alone'
  if (!wanted(name)) return []
  const samples = []
  for (let i = 0; i < rounds; i++) {
    const alone = elapsed(() => run('true', []))
    const under = elapsed(() => run(process.execPath, [command, 'run', '--', 'true']))
    samples.push(under - alone)
  }
  return [{ name, ns: median(samples), target: '400000000 ns' }]
}

async function dmaRow(rounds, wanted) {
  const name = 'run: DMA of 4 KiB, pinned shared memory'
  if (process.platform !== 'linux' || process.arch !== 'x64' || !wanted(name)) return []
  const outfile = `${cache}/dma.mjs`
  await build({
    entryPoints: [here('dma.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['koffi'],
    conditions: ['@iommufd/source'],
  })
  const { Dma } = await import(outfile)
  const dma = new Dma(1024)
  dma.run(20_000)
  const ops = 50_000
  const samples = Array.from({ length: rounds }, () => elapsed(() => dma.run(ops)) / ops)
  return [{ name, ns: median(samples), target: '2000 ns' }]
}
