// SPDX-License-Identifier: Apache-2.0
// The arguments and options of `iommufd pagetable`.

import { type Command, InvalidArgumentError, Option } from 'commander'
import { ArgumentProblem } from '../pagetable/argument-problem.js'
import { formatNames } from '../pagetable/geometry.js'
import { parseNumber } from '../pagetable/range.js'
import { type PageTableCommandOptions, pageTableCommand } from './pagetable-command.js'

/** Adds the command to the program. */
export function addPageTableCommand(program: Command, done: (exitCode: number) => void): void {
  program
    .command('pagetable')
    .description('map ranges into a page table of real hardware and show its words')
    .argument('[range...]', 'IOVA:PADDR:LENGTH[:PROT], as 0x1000:0x20000000:2M:rw')
    .addOption(
      new Option('--format <name>', 'the hardware').choices(formatNames).makeOptionMandatory(),
    )
    .option('--levels <n>', 'levels of the table', integer(1, 6))
    .option('--va-bits <n>', 'bits of an IOVA', integer(1, 64))
    .option('--pa-bits <n>', 'bits of a physical address', integer(1, 64))
    .option('--feature <name>', 'a feature besides the usual ones (may be repeated)', collect)
    .option('--without <name>', 'a usual feature to leave out (may be repeated)', collect)
    .option('--encryption-bit <n>', 'the bit that marks encrypted memory', integer(12, 51))
    .option('--page-sizes <list>', 'only these page sizes, as 4K,2M', pageSizes)
    .option('--ranges <file>', 'ranges in a file, one a line, # begins a comment')
    .option('--translate <iova>', 'follow this address instead (may be repeated)', addresses)
    .option('--raw <file>', "write the table's bytes instead")
    .option('--read <file>', 'show a table whose bytes are in this file')
    .option('--base <address>', 'with --read: address of the first byte (0)', address)
    .option('--top <address>', 'with --read: address of the top table (that of the first)', address)
    .option('--all', 'show every page, fold none')
    .option('--json', 'print one JSON document')
    .addHelpText('after', HELP)
    .action((ranges: string[], options: RawOptions) => done(run(ranges, options)))
}

type RawOptions = Omit<PageTableCommandOptions, 'features'> & { readonly feature?: string[] }

function run(ranges: readonly string[], { feature = [], ...options }: RawOptions): number {
  return pageTableCommand(ranges, { ...options, features: feature })
}

const HELP = `
Every page is the largest that fits; the tree says why it is not larger. PROT is letters of r, w, c (cache), n (noexec),
m (mmio); without it rw. Numbers are decimal or 0x…, with a unit K, M, G, T or P if need be.

Examples:
  iommufd pagetable --format x86_64 --levels 4 0x1000:0x20000000:2M:rw
  iommufd pagetable --format amdv1 --ranges ranges.txt --json
  iommufd pagetable --format riscv64 --page-sizes 4K,2M 0:0x80000000:4M:r --translate 0x201234
  iommufd pagetable --format vtdss 0:0:1G --raw table.bin
  iommufd pagetable --format vtdss --read table.bin --base 0x100000000

Exit code: 0 all is mapped, found and well-formed, 1 a range was refused, an address has no page or the table is malformed,
2 an input or the command line cannot be used.`

function integer(first: number, last: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d{1,3}$/.test(text) && value >= first && value <= last) return value
    throw new InvalidArgumentError(`It must be a number from ${first} to ${last}.`)
  }
}

function number(text: string): bigint {
  try {
    return parseNumber(text, 'the number')
  } catch (error) {
    if (!(error instanceof ArgumentProblem)) throw error
    throw new InvalidArgumentError('It must be a number such as 4096, 0x1000, 4K, 2M.')
  }
}

function address(text: string): bigint {
  return number(text)
}

function addresses(text: string, before: readonly bigint[] = []): bigint[] {
  return [...before, number(text)]
}

/** The sizes as a bitmap: each is a power of two, so their sum is one. */
function pageSizes(text: string): bigint {
  return text.split(',').reduce((bitmap, part) => {
    const size = number(part)
    if (size > 0n && (size & (size - 1n)) === 0n) return bitmap | size
    throw new InvalidArgumentError(`Page sizes are powers of two, as 4K,2M.`)
  }, 0n)
}

function collect(name: string, names: readonly string[] = []): string[] {
  return [...names, name]
}
