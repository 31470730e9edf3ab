// SPDX-License-Identifier: Apache-2.0
/**
 * The test operations on devices (SPEC section 10): a mock device bound and attached, replaced, and
 * what is mapped for it.
 *
 * Invariant: a mock device takes its ids in the order handle, device, table; it ends when its handle
 * is destroyed. What fails is undone in reverse order.
 */
import {
  type IommufdCtx,
  IommufdObject,
  type ObjectType,
  sumHi,
  sumWraps,
  type Ucmd,
} from '@iommufd/core'
import { HWPT, type Iommu, IommufdDevice, iovaToPhys, type PagingDomain } from '@iommufd/hw-iommu'
import {
  ENOENT,
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
  iommu_test_cmd,
  MOCK_FLAGS_DEVICE_NO_DIRTY,
  MOCK_FLAGS_DEVICE_PASID,
  PAGE_SIZE,
} from '@iommufd/uapi'
import { MockDevice } from './mock-device.js'
import { MAP_DIFFERS, MAP_MISALIGNED, MOCK_FLAGS_UNKNOWN, PAGE_NOT_THERE } from './refusals.js'

const { at } = iommu_test_cmd
const KNOWN_FLAGS = MOCK_FLAGS_DEVICE_NO_DIRTY | MOCK_FLAGS_DEVICE_PASID
const OFFSET_MASK = PAGE_SIZE - 1

/** The handle of a mock device: destroying it detaches the device with all its PASIDs and unbinds it. */
class MockDeviceHandle extends IommufdObject {
  readonly typeName: string = 'SELFTEST'
  readonly dev: MockDevice
  idev: IommufdDevice | undefined

  constructor(dev: MockDevice) {
    super()
    this.dev = dev
  }

  /** Binds and attaches the device: the id of its table, or a negative errno. */
  attach(ctx: IommufdCtx, ptId: number): number {
    const idev = IommufdDevice.bind(ctx, this.dev, false)
    if (typeof idev === 'number') return idev
    const hwptId = idev.attach(ptId)
    if (hwptId < 0) idev.unbind()
    else this.idev = idev
    return hwptId
  }

  override destroy(): void {
    for (const pasid of this.idev?.igroup.pasids(this.dev) ?? []) this.idev?.detach(pasid)
    this.idev?.unbind()
    this.dev.group?.iommu.removeDevice(this.dev)
  }
}

export const HANDLE: ObjectType<MockDeviceHandle> = {
  name: 'SELFTEST',
  is: (object): object is MockDeviceHandle => object instanceof MockDeviceHandle,
}

/** MOCK_DOMAIN and MOCK_DOMAIN_FLAGS. */
export function mockDomain(ucmd: Ucmd, iommu: Iommu): number {
  const { ctx } = ucmd
  const { engine } = ctx
  const allocated = engine.allocate()
  if (allocated < 0) return allocated
  const hasFlags = ucmd.u32(at.op) === IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS
  const flags = hasFlags ? ucmd.word(at.mock_domain_flags_dev_flags) : 0
  if ((flags & ~KNOWN_FLAGS) !== 0) {
    return engine.refusals.refuse(MOCK_FLAGS_UNKNOWN, flags, KNOWN_FLAGS)
  }
  const handle = new MockDeviceHandle(new MockDevice('mock', flags))
  ctx.objects.reserve(handle)
  const rc = iommu.addDevice(handle.dev) || attachAndRespond(ucmd, handle)
  if (rc < 0) {
    handle.destroy()
    ctx.objects.abort(handle)
  } else ctx.objects.finalize(handle)
  return rc
}

function attachAndRespond(ucmd: Ucmd, handle: MockDeviceHandle): number {
  const hwptId = handle.attach(ucmd.ctx, ucmd.word(at.id))
  if (hwptId < 0) return hwptId
  ucmd.setWord(at.mock_domain_out_hwpt_id, hwptId)
  ucmd.setWord(at.mock_domain_out_stdev_id, handle.id)
  ucmd.setWord(at.mock_domain_out_idev_id, handle.idev?.id ?? 0)
  return ucmd.respond(iommu_test_cmd.size)
}

export function mockDomainReplace(ucmd: Ucmd): number {
  const handle = ucmd.ctx.find(ucmd.word(at.id), HANDLE)
  if (handle?.idev === undefined) return -ENOENT
  const hwptId = handle.idev.replace(ucmd.word(at.mock_domain_replace_pt_id))
  if (hwptId < 0) return hwptId
  ucmd.setWord(at.mock_domain_replace_pt_id, hwptId)
  return ucmd.respond(iommu_test_cmd.size)
}

/** Whether the table maps each granule of [iova, iova + length) to what the caller has at uptr. */
export function checkMap(ucmd: Ucmd): number {
  const hwpt = ucmd.ctx.find(ucmd.word(at.id), HWPT)
  if (hwpt === undefined) return -ENOENT
  const { domain } = hwpt
  const { refusals } = ucmd.ctx.engine
  const iovaLo = ucmd.lo(at.check_map_iova)
  const userHi = ucmd.hi(at.check_map_uptr)
  const userLo = ucmd.lo(at.check_map_uptr)
  const lengthHi = ucmd.hi(at.check_map_length)
  const lengthLo = ucmd.lo(at.check_map_length)
  const isMisaligned = ((iovaLo | userLo | lengthLo) & (domain.minPageSize - 1)) !== 0
  if (isMisaligned || sumWraps(userHi, userLo, lengthHi, lengthLo)) {
    const iovaHi = ucmd.hi(at.check_map_iova)
    return refusals.refuse(MAP_MISALIGNED, iovaHi, iovaLo, userHi, userLo, lengthHi, lengthLo)
  }
  const length = (lengthHi >>> 0) * 2 ** 32 + (lengthLo >>> 0)
  for (let done = 0; done < length; done += domain.minPageSize) {
    const rc = compareGranule(ucmd, domain, done)
    if (rc < 0) return rc
  }
  return 0
}

/** Compares the granule that is `done` bytes into the range. */
function compareGranule(ucmd: Ucmd, domain: PagingDomain, done: number): number {
  const { refusals } = ucmd.ctx.engine
  const doneHi = Math.floor(done / 2 ** 32)
  const userLo = (ucmd.lo(at.check_map_uptr) + done) | 0
  const userHi = sumHi(ucmd.hi(at.check_map_uptr), ucmd.lo(at.check_map_uptr), doneHi, done | 0)
  const frame = ucmd.task.mm.lookup(userHi, userLo)
  if (frame < 0) return refusals.refuse(PAGE_NOT_THERE, userHi, userLo)
  const iovaLo = (ucmd.lo(at.check_map_iova) + done) | 0
  const iovaHi = sumHi(ucmd.hi(at.check_map_iova), ucmd.lo(at.check_map_iova), doneHi, done | 0)
  const phys = frame * PAGE_SIZE + (userLo & OFFSET_MASK)
  if (iovaToPhys(domain, iovaHi, iovaLo) === phys) return 0
  return refusals.refuse(MAP_DIFFERS, iovaHi, iovaLo, userHi, userLo)
}
