// SPDX-License-Identifier: Apache-2.0
// The arguments and options of `iommufd run`.

import type { KernelVersion } from '@iommufd/run'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type RunCommandOptions, runCommand } from './run-command.js'

/** The PCI addresses that there are on one bus. */
const MOST_DEVICES = 32
const KERNELS: readonly KernelVersion[] = ['6.2', '6.6', '6.12', '7.3']

/** A run that joins another is served with that one's. */
const OPTIONS_OF_A_SERVER = [
  ...['trace', 'record', 'verbose', 'kernel', 'as', 'devices', 'failNth'],
  ...['privileged', 'selftest'],
]

const HELP = `
Examples:
  iommufd run --trace -- ./vmm --machine test           each call on standard error, with the reason of each failure
  iommufd run --trace=calls.txt -- make check           the same into a file, for all programs that make starts
  iommufd run --record calls.jsonl -- ./vmm             for iommufd replay and iommufd explain
  iommufd run --devices 2 -- ls /dev/vfio               groups 0 and 1, and the devices in them
  iommufd run --as type1 --devices 1 -- ./driver        the container of vfio_iommu_type1 instead of an iommufd
  iommufd run --kernel 6.6 --fail-nth 12 -- ./driver    an older kernel, whose 12th allocation or user copy fails

Exit code: the program's own; 125 we failed, 126 it cannot be executed, 127 there is no such program.`

/** Adds the command to the program. */
export function addRunCommand(program: Command, done: (exitCode: number) => void): void {
  program
    .command('run')
    .description('run a program that finds /dev/iommu and /dev/vfio/vfio')
    .argument('<program>', 'what to run; put -- before it')
    .argument('[args...]', 'its arguments')
    .option('--trace [file]', 'tell each call, and why it failed (default: on standard error)')
    .addOption(
      new Option('--record <file>', 'record the calls, for iommufd replay').conflicts([
        'kernel',
        'failNth',
        'as',
        'devices',
      ]),
    )
    .option('--verbose', 'tell how each pinned range of memory is kept')
    .option(
      '--kernel <version>',
      `which kernel's calls there are: ${KERNELS.join(', ')}`,
      parseKernel,
    )
    .addOption(
      new Option('--as <kind>', 'what /dev/vfio/vfio is: iommufd, or vfio_iommu_type1').choices([
        'iommufd',
        'type1',
      ]),
    )
    .option(
      '--devices <n>',
      'how many VFIO groups there are, each with a PCI device that copies memory',
      parseDevices,
    )
    .option('--fail-nth <n>', 'let the n-th fault point fail', parsePosition)
    .addOption(
      new Option('--attach <pid>', 'join the programs of another iommufd run')
        .argParser(parsePosition)
        .conflicts(OPTIONS_OF_A_SERVER),
    )
    .option('--privileged', 'take the program for root with every capability')
    .option('--selftest', 'serve IOMMU_TEST_CMD, with mock devices')
    .addHelpText('after', HELP)
    .passThroughOptions()
    .action(async (name: string, args: string[], options: RunCommandOptions) =>
      done(await runCommand([name, ...args], options)),
    )
}

function parsePosition(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It must be a number from 1.')
  return Number(text)
}

function parseDevices(text: string): number {
  const count = Number(text)
  if (/^\d{1,2}$/.test(text) && count <= MOST_DEVICES) return count
  throw new InvalidArgumentError(`It must be a number up to ${MOST_DEVICES}.`)
}

function parseKernel(text: string): KernelVersion {
  const version = KERNELS.find((known) => known === text)
  if (version !== undefined) return version
  throw new InvalidArgumentError(`It must be one of ${KERNELS.join(', ')}.`)
}
