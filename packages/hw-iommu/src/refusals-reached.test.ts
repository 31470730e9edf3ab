// SPDX-License-Identifier: Apache-2.0
//
// Every refusal of the driver model is reached by a call, with its own errno and with all its words filled in.

import {
  EINVAL,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_GET_HW_INFO,
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_FAULT_ID_VALID,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VIOMMU_ALLOC,
  iommu_fault_alloc,
  iommu_hw_info,
  iommu_hw_queue_alloc,
  type iommu_hwpt_alloc,
  iommu_hwpt_get_dirty_bitmap,
  iommu_hwpt_invalidate,
  iommu_hwpt_set_dirty_tracking,
  iommu_veventq_alloc,
  iommu_viommu_alloc,
  type StructInput,
} from '@iommufd/uapi'
import { expect, test } from 'vitest'
import { DATA, World } from '../test/harness.js'
import { PlainDriver, ToyDevice, type ToyDeviceOptions } from '../test/toy-driver.js'
import { ViommuScene } from '../test/viommu-scene.js'
import {
  hwIommuRefusals,
  IOMMU_RESV_DIRECT,
  IOMMU_RESV_SW_MSI,
  Iommu,
  type IommufdDevice,
  type IommufdHwQueue,
  type IommuGroup,
  IopfQueue,
  iommu_report_device_fault,
  iommufd_device_attach,
  iommufd_device_bind,
  iommufd_device_replace,
  iommufd_hw_queue_depend,
  iommufd_sw_msi,
  iommufd_viommu_get_vdev_id,
  iommufd_viommu_report_event,
  MsiDesc,
} from './index.js'

type Name = keyof typeof hwIommuRefusals

const PASID = IOMMU_HWPT_ALLOC_PASID
const WINDOW = { start: 0x800_0000n, length: 0x10_0000n, type: IOMMU_RESV_SW_MSI }

const REQUEST = { pasid: undefined, grpid: 1, perm: 1, addr: 0n, lastPage: true }

/** A bound device with 8 PASIDs, and address space 1. */
class Scene {
  readonly world: World = new World()
  readonly pt: number = this.world.ioas().id
  readonly idev: IommufdDevice = this.bind('a')

  bind(name: string, options: ToyDeviceOptions = {}): IommufdDevice {
    return this.world.bind(this.world.device(name, { group: 'g', pasids: 8, ...options }))
  }

  /** Binding a device with these properties. */
  tryBind(options: ToyDeviceOptions): number {
    return iommufd_device_bind(this.world.ctx, this.world.device('other', options)) as number
  }

  attach(id: number, pasid = 0, idev: IommufdDevice = this.idev): number {
    return iommufd_device_attach(idev, pasid, id)
  }

  alloc(values: StructInput<typeof iommu_hwpt_alloc> = {}): number {
    const answer = this.world.hwptAlloc({ dev_id: this.idev.id, pt_id: this.pt, ...values })
    return typeof answer === 'number' ? answer : -(this.world.engine.refusals.last?.errno ?? 0)
  }

  /** A nested table on a parent that is fit for it, unless said otherwise. */
  nested(values: StructInput<typeof iommu_hwpt_alloc> = {}, bytes: readonly number[] = []): number {
    const data = new Uint8Array(16)
    data.set(bytes)
    this.world.process.store(DATA, data)
    const pt_id = this.alloc({ flags: IOMMU_HWPT_ALLOC_NEST_PARENT })
    return this.alloc({ pt_id, data_type: 1, data_len: 4, data_uptr: DATA, ...values })
  }

  faultQueue(values: StructInput<typeof iommu_fault_alloc> = {}): { ret: number; fd: number } {
    const { world } = this
    const answer = world.ioctl(IOMMU_FAULT_QUEUE_ALLOC, iommu_fault_alloc, values)
    return { ret: answer.ret, fd: answer.out_fault_fd }
  }

  /** A table with a new fault queue, and the descriptor of the queue. */
  withFaults(): { id: number; fd: number } {
    const fd = this.faultQueue().fd
    const [fault_id] = [...this.world.ctx.objects].map(({ id }) => id).slice(-1)
    return {
      id: this.alloc({ flags: IOMMU_HWPT_FAULT_ID_VALID, fault_id: fault_id as number }),
      fd,
    }
  }

  /** A response, cookie and code, written to a new fault queue. */
  respond(words: [number, number]): number {
    const { process } = this.world
    process.store(DATA, new Uint8Array(Uint32Array.from(words).buffer))
    return process.write(this.faultQueue().fd, DATA, 8)
  }

  /** The dirty bitmap of a new table that records nothing. */
  dirty(values: StructInput<typeof iommu_hwpt_get_dirty_bitmap>): number {
    const defaults = { hwpt_id: this.alloc(), length: 4096, page_size: 4096, data: DATA }
    const { world } = this
    const given = { ...defaults, ...values }
    return world.ioctl(IOMMU_HWPT_GET_DIRTY_BITMAP, iommu_hwpt_get_dirty_bitmap, given).ret
  }

  /** A bound device of another driver, one that has no part that it can do without. */
  plain(): IommufdDevice {
    const iommu = new Iommu(this.world.engine)
    iommu.registerDriver(new PlainDriver(iommu))
    const dev = new ToyDevice('plain', { pasids: 8 })
    iommu.addDevice(dev)
    return this.world.bind(dev)
  }

  /** A table without a PASID, and PASID 1 attached. */
  withPasid(): this {
    const id = this.alloc({ flags: PASID })
    this.attach(id)
    this.attach(id, 1)
    return this
  }

  /** An attached device with a window for interrupts. */
  msi(): (msiAddr: bigint) => number {
    const idev = this.bind('msi', { group: 'msi', regions: [WINDOW] })
    this.attach(this.pt, 0, idev)
    return (msiAddr) => iommufd_sw_msi(new MsiDesc(idev.dev), msiAddr)
  }
}

/** What a call refuses that is made with a vIOMMU, in the same world. */
function viommu(
  call: (scene: ViommuScene, id: number, outer: Scene) => unknown,
): (scene: Scene) => number {
  return (outer) => {
    const scene = new ViommuScene(outer.world)
    const id = scene.viommu() as number
    call(scene, id, outer)
    return -(outer.world.engine.refusals.last?.errno ?? 0)
  }
}

/** A call that each site refuses. */
const provoked: Record<Name, (scene: Scene) => number> = {
  DEVICE_WITHOUT_IOMMU: ({ world }) =>
    iommufd_device_bind(world.ctx, new ToyDevice('nowhere')) as number,
  DRIVER_REFUSED: (scene) => {
    ;(scene.idev.dev as ToyDevice).accepts = () => -EINVAL
    return scene.attach(scene.pt)
  },
  GROUP_OWNED: ({ world, idev }) => iommufd_device_bind(world.otherCtx(), idev.dev) as number,
  GROUP_USED_BY_HOST: ({ world }) => {
    const dev = world.device('host')
    dev.group?.useDefaultDomain()
    return iommufd_device_bind(world.ctx, dev) as number
  },
  DEVICE_NEEDS_DIRECT: (scene) =>
    scene.tryBind({ regions: [{ start: 0n, length: 1n, type: IOMMU_RESV_DIRECT }] }),
  GROUP_ATTACHED: (scene) => {
    scene.attach(scene.pt)
    const group = scene.idev.dev.group as IommuGroup
    return group.attach(scene.world.hwpt(scene.alloc()).domain)
  },
  DOMAIN_OF_OTHER_DRIVER: (scene) => scene.attach(scene.alloc(), 0, scene.plain()),
  DEVICE_NOT_COHERENT: (scene) => scene.tryBind({ coherent: false }),
  INTERRUPTS_NOT_ISOLATED: (scene) => scene.tryBind({ isolatedMsi: false }),
  PT_UNKNOWN: (scene) => scene.attach(77),
  OBJECT_NOT_ATTACHABLE: (scene) => scene.attach(scene.idev.id),
  DEVICE_ATTACHED_ALREADY: (scene) => {
    scene.attach(scene.pt)
    return scene.attach(scene.pt)
  },
  DEVICE_NOT_ATTACHED: (scene) => iommufd_device_replace(scene.idev, 0, scene.pt),
  GROUP_HAS_OTHER_HWPT: (scene) => {
    scene.attach(scene.pt)
    return scene.attach(scene.alloc(), 0, scene.bind('b'))
  },
  PASID_UNSUPPORTED: (scene) => {
    const plain = scene.plain()
    const id = scene.alloc({ dev_id: plain.id })
    scene.world.hwpt(id).allowsPasids = true
    return scene.attach(id, 1, plain)
  },
  PASID_OUT_OF_RANGE: (scene) => scene.attach(scene.alloc({ flags: PASID }), 8),
  HWPT_WITHOUT_PASID: (scene) => scene.attach(scene.alloc(), 1),
  DEVICE_HWPT_WITHOUT_PASID: (scene) => {
    scene.attach(scene.pt)
    return scene.attach(scene.alloc({ flags: PASID }), 1)
  },
  GROUP_USES_PASIDS: (scene) => iommufd_device_replace(scene.withPasid().idev, 0, scene.alloc()),
  FAULT_HWPT_FOR_VF: (scene) => {
    const vf = scene.bind('vf', { group: 'vf', sharesPri: true })
    return scene.attach(scene.withFaults().id, 0, vf)
  },
  PAGE_RESPONSE_UNSUPPORTED: (scene) => {
    const { domain } = scene.world.hwpt(scene.withFaults().id)
    return new IopfQueue(scene.world.engine).move(scene.plain().dev, domain, undefined)
  },
  FAULT_UNHANDLED: (scene) => iommu_report_device_fault(scene.idev.dev, REQUEST),
  MSI_PAGES_EXHAUSTED: (scene) => {
    const map = scene.msi()
    for (let i = 1n; i <= 64n; i++) map(i << 12n)
    return map(65n << 12n)
  },
  MSI_PAGE_TOO_HIGH: (scene) => scene.msi()(1n << 44n),
  MSI_REGIONS_CONTRADICT: (scene) => {
    const idev = scene.bind('b', { group: 'b', regions: [WINDOW, WINDOW] })
    return scene.attach(scene.pt, 0, idev)
  },
  HWPT_RESERVED_NOT_ZERO: (scene) => scene.alloc({ __reserved: 1 }),
  HWPT_DATA_CONTRADICTS: (scene) => scene.alloc({ data_type: 1 }),
  PARENT_UNKNOWN: (scene) => scene.alloc({ pt_id: 77 }),
  PARENT_UNUSABLE: (scene) => scene.alloc({ pt_id: scene.idev.id }),
  HWPT_FLAGS_UNSUPPORTED: (scene) => scene.alloc({ dev_id: scene.plain().id, flags: PASID }),
  HWPT_FLAGS_UNKNOWN: (scene) => scene.alloc({ flags: 1 << 30 }),
  DIRTY_TRACKING_UNSUPPORTED: (scene) => scene.alloc({ flags: IOMMU_HWPT_ALLOC_DIRTY_TRACKING }),
  NEST_PARENT_WITH_FAULTS: (scene) =>
    scene.alloc({ flags: IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_FAULT_ID_VALID }),
  COHERENCY_NOT_ENFORCED: (scene) =>
    scene.alloc({ dev_id: scene.bind('b', { group: 'b', enforces: false }).id }),
  NESTED_FLAGS_UNKNOWN: (scene) => scene.nested({ flags: IOMMU_HWPT_ALLOC_NEST_PARENT }),
  NESTED_WITHOUT_DATA: (scene) => scene.nested({ data_type: 0, data_len: 0 }),
  NESTED_UNSUPPORTED: (scene) => scene.nested({ dev_id: scene.plain().id }),
  NO_NEST_PARENT: (scene) => scene.nested({ pt_id: scene.alloc() }),
  PARENT_OF_OTHER_DRIVER: (scene) => {
    const plain = scene.plain()
    const pt_id = scene.alloc({ flags: IOMMU_HWPT_ALLOC_NEST_PARENT })
    Object.assign(plain.ops, { domainAllocNested: () => -EINVAL })
    return scene.nested({ dev_id: plain.id, pt_id })
  },
  FAULT_QUEUE_UNKNOWN: (scene) => scene.alloc({ flags: IOMMU_HWPT_FAULT_ID_VALID, fault_id: 7 }),
  FAULT_QUEUE_FLAGS_NOT_ZERO: (scene) => scene.faultQueue({ flags: 1 }).ret,
  FAULT_QUEUE_NO_DESCRIPTOR: (scene) => {
    const { fd, process } = scene.world
    while (process.dup(fd) >= 0);
    return scene.faultQueue().ret
  },
  FAULT_QUEUE_LENGTH: (scene) => scene.world.process.read(scene.faultQueue().fd, DATA, 41),
  FAULT_GROUP_TOO_LARGE: (scene) => {
    const { id, fd } = scene.withFaults()
    scene.attach(id)
    iommu_report_device_fault(scene.idev.dev, REQUEST)
    return scene.world.process.read(fd, DATA, 0)
  },
  FAULT_RESPONSE_CODE: (scene) => scene.respond([0, 2]),
  FAULT_RESPONSE_COOKIE: (scene) => scene.respond([0, 1]),
  HW_INFO_FLAGS_UNKNOWN: ({ world }) =>
    world.ioctl(IOMMU_GET_HW_INFO, iommu_hw_info, { flags: 2 }).ret,
  HW_INFO_RESERVED_NOT_ZERO: ({ world }) =>
    world.ioctl(IOMMU_GET_HW_INFO, iommu_hw_info, { __reserved: [1, 0, 0] }).ret,
  INVALIDATE_RESERVED_NOT_ZERO: ({ world }) =>
    world.ioctl(IOMMU_HWPT_INVALIDATE, iommu_hwpt_invalidate, { __reserved: 1 }).ret,
  INVALIDATE_ENTRIES_BAD: ({ world }) =>
    world.ioctl(IOMMU_HWPT_INVALIDATE, iommu_hwpt_invalidate, { entry_num: 1 }).ret,
  INVALIDATE_OBJECT_WRONG: ({ world, idev }) =>
    world.ioctl(IOMMU_HWPT_INVALIDATE, iommu_hwpt_invalidate, { hwpt_id: idev.id }).ret,
  INVALIDATE_UNSUPPORTED: (scene) => {
    const hwpt_id = scene.nested({})
    return scene.world.ioctl(IOMMU_HWPT_INVALIDATE, iommu_hwpt_invalidate, { hwpt_id }).ret
  },
  DIRTY_FLAGS_UNKNOWN: ({ world }) =>
    world.ioctl(IOMMU_HWPT_SET_DIRTY_TRACKING, iommu_hwpt_set_dirty_tracking, { flags: 2 }).ret,
  DIRTY_RESERVED_NOT_ZERO: (scene) => scene.dirty({ __reserved: 1 }),
  DIRTY_NOT_TRACKED: (scene) => scene.dirty({}),
  DIRTY_RANGE_WRAPS: (scene) => scene.dirty({ iova: 2n ** 64n - 4096n, length: 8192 }),
  DIRTY_RANGE_BAD: (scene) => scene.dirty({ page_size: 0 }),
  VIOMMU_FLAGS_OR_TYPE: ({ world }) => world.ioctl(IOMMU_VIOMMU_ALLOC, iommu_viommu_alloc, {}).ret,
  VIOMMU_UNSUPPORTED: ({ world, idev }) =>
    world.ioctl(IOMMU_VIOMMU_ALLOC, iommu_viommu_alloc, { type: 2, dev_id: idev.id }).ret,
  VEVENTQ_FLAGS_OR_TYPE: ({ world }) =>
    world.ioctl(IOMMU_VEVENTQ_ALLOC, iommu_veventq_alloc, { veventq_depth: 1 }).ret,
  VEVENTQ_DEPTH: ({ world }) =>
    world.ioctl(IOMMU_VEVENTQ_ALLOC, iommu_veventq_alloc, { type: 1 }).ret,
  HW_QUEUE_FLAGS_OR_TYPE: ({ world }) =>
    world.ioctl(IOMMU_HW_QUEUE_ALLOC, iommu_hw_queue_alloc, { length: 1 }).ret,
  HW_QUEUE_EMPTY: ({ world }) =>
    world.ioctl(IOMMU_HW_QUEUE_ALLOC, iommu_hw_queue_alloc, { type: 1 }).ret,
  HW_QUEUE_WRAPS: ({ world }) => {
    const values = { type: 1, nesting_parent_iova: 2n ** 64n - 1n, length: 2 }
    return world.ioctl(IOMMU_HW_QUEUE_ALLOC, iommu_hw_queue_alloc, values).ret
  },
  USER_DATA_TYPE: (scene) => scene.nested({ data_type: 2 }),
  USER_DATA_TOO_SHORT: (scene) => scene.nested({ data_len: 3 }),
  USER_DATA_TOO_LONG: (scene) => scene.nested({ data_len: 9 }),
  USER_DATA_TAIL_NOT_ZERO: viommu((scene, id) => {
    scene.world.process.store(DATA + 8, Uint8Array.of(1))
    return scene.invalidate(id, { entry_len: 9 })
  }),
  USER_DATA_ARRAY_EMPTY: viommu((scene, id) => scene.invalidate(id, { entry_num: 0 })),
  NESTED_VIOMMU_UNSUPPORTED: viommu((scene, id) => {
    scene.object(id).ops = {}
    return scene.nested(id)
  }),
  VIOMMU_OF_OTHER_IOMMU: viommu((scene, id, outer) => {
    return scene.nested(id, { dev_id: outer.plain().id })
  }),
  VDEVICE_OF_OTHER_IOMMU: viommu((scene, id, outer) => {
    return scene.vdevice(id, { dev_id: outer.plain().id })
  }),
  DEVICE_HAS_VDEVICE: viommu((scene, id) => {
    scene.vdevice(id)
    return scene.vdevice(id, { virt_id: 6 })
  }),
  VIRT_ID_TAKEN: viommu((scene, id) => {
    scene.vdevice(id)
    return scene.vdevice(id, { dev_id: scene.world.bind(scene.world.device('second')).id })
  }),
  VDEV_ID_UNKNOWN: viommu((scene, id) => {
    return iommufd_viommu_get_vdev_id(scene.object(id), scene.idev.dev)
  }),
  VEVENTQ_EXISTS: viommu((scene, id) => {
    scene.veventq(id)
    return scene.veventq(id).id
  }),
  VEVENTQ_NO_DESCRIPTOR: viommu((scene, id) => {
    const { fd, process } = scene.world
    while (process.dup(fd) >= 0);
    return scene.veventq(id).id
  }),
  VEVENTQ_MISSING: viommu((scene, id) => {
    return iommufd_viommu_report_event(scene.object(id), 1, new Uint8Array(4))
  }),
  VEVENTQ_READ_TOO_SHORT: viommu((scene, id) => {
    return scene.world.process.read(scene.veventq(id).fd, DATA, 7)
  }),
  VEVENT_TOO_LONG: viommu((scene, id) => {
    const { fd } = scene.veventq(id)
    iommufd_viommu_report_event(scene.object(id), 1, new Uint8Array(4))
    return scene.world.process.read(fd, DATA, 11)
  }),
  HW_QUEUE_UNSUPPORTED: viommu((scene, id) => scene.hwQueue(id, { type: 2 })),
  HW_QUEUE_OUT_OF_RANGE: viommu((scene, id) => {
    return scene.hwQueue(id, { nesting_parent_iova: 0, length: 2n ** 64n - 1n })
  }),
  HW_QUEUE_TOO_LONG: viommu((scene, id) => scene.hwQueue(id, { length: 2n ** 40n })),
  HW_QUEUE_NEEDS_ITSELF: viommu((scene, id) => {
    const queue = scene.world.ctx.objects.get(scene.hwQueue(id) as number) as IommufdHwQueue
    scene.world.engine.refusals.clear()
    return iommufd_hw_queue_depend(queue, queue)
  }),
  HW_QUEUE_NOT_CONTIGUOUS: viommu((scene, id) => {
    for (const iova of [0x40000, 0x41000]) scene.map(iova, 1, 3)
    return scene.hwQueue(id, { nesting_parent_iova: 0x40000, length: 8192 })
  }),
}

test.each(Object.keys(hwIommuRefusals) as Name[])('%s is reached by a call', (name) => {
  const scene = new Scene()
  expect(provoked[name](scene)).toBe(-hwIommuRefusals[name].errno)
  const { last } = scene.world.engine.refusals
  expect(last?.id).toBe(name)
  expect(`${last?.sentence} ${last?.remedy}`).not.toMatch(/[{}]/)
})
