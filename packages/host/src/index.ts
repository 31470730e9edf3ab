// SPDX-License-Identifier: Apache-2.0
export type { DmaBuf, DmaBufImporter, PhysRange } from './dma-buf.js'
export type {
  DeviceHost,
  DeviceMapping,
  EventFd,
  FileOperations,
  Host,
  Mm,
  OpenDevice,
  Task,
  User,
} from './host.js'
export { File, FMODE_READ, FMODE_WRITE } from './host.js'
export type { MachineOptions, SpawnOptions } from './machine.js'
export { Machine } from './machine.js'
export type { Process } from './process.js'
