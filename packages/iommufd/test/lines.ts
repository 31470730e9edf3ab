// SPDX-License-Identifier: Apache-2.0
// Small recordings made in tests.

export const header = {
  format: 'iommufd-trace',
  version: 1,
  kernel: '7.3.4',
  arch: 'x86_64',
  pageSize: 4096,
  maxIovaAlignment: 2097152,
  profile: 'ioas',
  seed: 1,
  ops: 1,
  edgePercent: 0,
  uid: 0,
  argPage: { addr: '0x100000000', length: '0x1000' },
}

/** The text of a recording that consists of these lines after the header. */
export function recording(...calls: readonly object[]): string {
  return [header, ...calls].map((line) => `${JSON.stringify(line)}\n`).join('')
}

/** The line that maps the page of ioctl structs. */
export const mapArgPage = {
  call: 'mmap',
  addr: '0x100000000',
  length: '0x1000',
  prot: 3,
  flags: 0x32,
  ret: '0x100000000',
}
