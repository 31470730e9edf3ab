// SPDX-License-Identifier: Apache-2.0
// Measuring: a row is timed in rounds, its anchor in the same rounds, one behind the other, and what is reported is the
// median and the median of the rounds' ratios; so a machine that is slow for a while is slow for both. Anchors are C
// programs that are compiled here and now; without a C compiler the rows are there and their ratios are not.
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import v8 from 'node:v8'

const directory = mkdtempSync(join(tmpdir(), 'iommufd-bench-'))
process.on('exit', () => rmSync(directory, { recursive: true, force: true }))

/** A running native anchor; `run` answers with nanoseconds per operation. */
export class Anchor {
  /** The anchor of these C files, or undefined where there is no `cc`. */
  static compile(name, files) {
    const program = join(directory, name)
    const args = ['-O2', '-march=native', '-o', program, ...files]
    const { status, error, stderr } = spawnSync('cc', args, { encoding: 'utf8' })
    if (error) return undefined
    if (status !== 0) throw new Error(`cc: ${stderr}`)
    return new Anchor(program)
  }

  constructor(program) {
    this.child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]()
  }

  async run(row, n, ops, seed = 1) {
    this.child.stdin.write(`${row} ${n} ${ops} ${seed}\n`)
    const { value, done } = await this.lines.next()
    if (done) throw new Error(`the native anchor ended in row ${row}`)
    return JSON.parse(value)
  }

  close() {
    this.child.stdin.end()
  }
}

/** Lets measured process and anchors share one processor, where taskset is there: they never run at once. */
export function pin() {
  const { error } = spawnSync('taskset', ['-p', '-c', '0', String(process.pid)])
  return error === undefined
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Nanoseconds per operation of `run(ops)`. */
export function time(run, ops) {
  const start = process.hrtime.bigint()
  run(ops)
  return Number(process.hrtime.bigint() - start) / ops
}

/** Median over `rounds` of ours and theirs, and of the ratios. `ours` and `theirs` answer nanoseconds per operation. */
export async function compare(rounds, ours, theirs) {
  const samples = []
  for (let round = 0; round < rounds; round++) {
    const theirNs = theirs === undefined ? undefined : await theirs(round)
    samples.push({ ns: await ours(round), theirNs })
  }
  const result = { ns: median(samples.map(({ ns }) => ns)) }
  if (theirs === undefined) return result
  result.anchorNs = median(samples.map(({ theirNs }) => theirNs))
  result.ratio = median(samples.map(({ ns, theirNs }) => ns / theirNs))
  return result
}

/**
 * Bytes of garbage per operation, after warming up. No collection may fall into it: the caller is started with a young
 * generation that holds it all. What a sampling itself leaves is divided by the operations.
 */
export function garbage(run, ops) {
  run(ops)
  globalThis.gc()
  const before = v8.getHeapStatistics().used_heap_size
  run(ops)
  return Math.max(0, (v8.getHeapStatistics().used_heap_size - before) / ops)
}
