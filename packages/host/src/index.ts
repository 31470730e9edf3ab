// SPDX-License-Identifier: Apache-2.0
export type { DeviceMapping, FileOperations, Host, Mm, Task, User } from './host.js'
export { File, FMODE_READ, FMODE_WRITE } from './host.js'
export type { MachineOptions, OpenDevice, SpawnOptions } from './machine.js'
export { Machine } from './machine.js'
export type { Process } from './process.js'
