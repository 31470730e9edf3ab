// SPDX-License-Identifier: Apache-2.0
//
// The public names of @iommufd/uapi. The constants and struct layouts of the headers are exported as
// they are; everything else by name.

export type { FieldInput, FieldValue, StructInput, StructValue } from './codec.js'
export { readStruct, writeStruct } from './codec.js'
export type { ArgumentKind, CommandInfo, FileKind, VfioCommandInfo } from './commands.js'
export { commands, vfioCommands } from './commands.js'
export type { ChangedField, DecodedIoctl } from './decode.js'
export { changedFields, decodeIoctl, formatIoctl } from './decode.js'
export type { DecodedField, DecodedStruct } from './decode-struct.js'
export { decodeStruct } from './decode-struct.js'
export * from './errno.js'
export { _IO, formatIoctlNumber } from './ioctl-number.js'
export * from './iommufd.js'
export * from './iommufd-hwpt.js'
export * from './iommufd-test.js'
export * from './iommufd-viommu.js'
export type { ElementType, FieldType, ScalarType, StructLayout } from './layout.js'
export * from './linux.js'
export * from './vfio.js'
export * from './vfio-device.js'
export * from './vfio-feature.js'
export * from './vfio-spapr.js'
export * from './vfio-type1.js'
export {
  hiWord,
  loWord,
  s32,
  setU8,
  setU16,
  setU32,
  setU64,
  u8,
  u16,
  u32,
  u64,
  u64Hi,
  u64Lo,
} from './words.js'
