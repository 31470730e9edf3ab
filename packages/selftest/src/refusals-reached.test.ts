// SPDX-License-Identifier: Apache-2.0
//
// Every refusal of IOMMU_TEST_CMD is reached by a call, with its own errno and with all its words filled in.

import {
  DEVICE,
  Device,
  HWPT,
  Iommu,
  IommufdDevice,
  IommufdHwptNested,
  type IommufdHwptPaging,
  IommuGroup,
  type NestedDomain,
  registerHwIommu,
  UserData,
} from '@iommufd/hw-iommu'
import {
  IOMMU_GET_HW_INFO,
  IOMMU_HW_INFO_FLAG_INPUT_TYPE,
  IOMMU_HW_INFO_TYPE_AMD,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_DATA_SELFTEST,
  IOMMU_HWPT_DATA_VTD_S1,
  IOMMU_HWPT_FAULT_ID_VALID,
  IOMMU_TEST_OP_ACCESS_PAGES,
  IOMMU_TEST_OP_ACCESS_RW,
  IOMMU_TEST_OP_ADD_RESERVED,
  IOMMU_TEST_OP_CREATE_ACCESS,
  IOMMU_TEST_OP_DESTROY_ACCESS_PAGES,
  IOMMU_TEST_OP_DIRTY,
  IOMMU_TEST_OP_MD_CHECK_MAP,
  IOMMU_TEST_OP_MD_CHECK_REFS,
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
  IOMMU_TEST_OP_PASID_ATTACH,
  IOMMU_TEST_OP_PASID_CHECK_HWPT,
  IOMMU_TEST_OP_PASID_REPLACE,
  IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT,
  IOMMU_TEST_PASID_RESERVED,
  iommu_hw_info,
  iommu_hwpt_alloc,
  iommu_hwpt_invalidate_selftest,
  iommu_hwpt_selftest,
  iommu_viommu_invalidate_selftest,
  MOCK_APERTURE_START,
  MOCK_FLAGS_DEVICE_NO_DIRTY,
  MOCK_FLAGS_DEVICE_PASID,
  type StructInput,
  writeStruct,
} from '@iommufd/uapi'
import { expect, test } from 'vitest'
import {
  allocIoas,
  type Booted,
  BUFFER,
  boot,
  createAccess,
  HOLE,
  IOVA,
  ioctl,
  map,
  PAGE,
  type TestCmd,
  testOp,
} from '../test/harness.js'
import { IOTLB, ViommuScene } from '../test/viommu-scene.js'
import { selftestRefusals } from './index.js'

type Name = keyof typeof selftestRefusals

const DATA = BUFFER + 15 * PAGE
const START = MOCK_APERTURE_START
const ALLOC_PASID = IOMMU_HWPT_ALLOC_PASID
const ENTRY = iommu_hwpt_invalidate_selftest
const COMMAND = iommu_viommu_invalidate_selftest

/** IOAS 1, and a page mapped at IOVA in IOAS 2. */
class Scene {
  readonly booted: Booted = boot()

  constructor() {
    registerHwIommu(this.booted.engine)
    for (const id of [1, 2]) expect(allocIoas(this.booted)).toBe(id)
    map(this.booted, 2, { length: PAGE })
  }

  op(op: number, values: TestCmd): void {
    testOp(this.booted, op, values)
  }

  /** A mock device on IOAS 1: the id of its handle, and of the device. */
  device(flags: number = MOCK_FLAGS_DEVICE_PASID): { stdev: number; idev: number; hwpt: number } {
    const values = { id: 1, mock_domain_flags_dev_flags: flags }
    const { out } = testOp(this.booted, IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, values)
    return {
      stdev: out.mock_domain_out_stdev_id,
      idev: out.mock_domain_out_idev_id,
      hwpt: out.mock_domain_out_hwpt_id,
    }
  }

  alloc(values: StructInput<typeof iommu_hwpt_alloc>): number {
    return ioctl(this.booted, IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, { pt_id: 1, ...values }).out
      .out_hwpt_id
  }

  /** Data for a table of the mock. */
  data(data_type: number, pagetable_type = 0): StructInput<typeof iommu_hwpt_alloc> {
    this.booted.process.store(DATA, writeStruct(iommu_hwpt_selftest, { pagetable_type }))
    return { data_type, data_len: 8, data_uptr: DATA }
  }

  pin(values: TestCmd, flags?: number): void {
    const id = createAccess(this.booted, 2, flags)
    const defaults = { access_pages_iova: IOVA, access_pages_length: PAGE }
    this.op(IOMMU_TEST_OP_ACCESS_PAGES, { id, ...defaults, ...values })
  }
}

/** A call that is made with a vIOMMU. */
function viommu(call: (scene: ViommuScene, id: number) => unknown): (scene: Scene) => void {
  return ({ booted }) => {
    const scene = new ViommuScene(booted)
    call(scene, scene.viommu() as number)
  }
}

/** A call that is made with a nested table. */
function nested(call: (scene: ViommuScene, id: number) => unknown): (scene: Scene) => void {
  return ({ booted }) => {
    const scene = new ViommuScene(booted)
    call(scene, scene.nested(scene.parent) as number)
  }
}

/** A call that each site refuses. */
const provoked: Record<Name, (scene: Scene) => void> = {
  TEST_OP_UNKNOWN: (scene) => scene.op(99, {}),
  TEST_FLAGS_UNKNOWN: (scene) => scene.op(IOMMU_TEST_OP_CREATE_ACCESS, { create_access_flags: 64 }),
  RESERVED_LENGTH_ZERO: (scene) => scene.op(IOMMU_TEST_OP_ADD_RESERVED, { id: 1 }),
  RESERVED_RANGE_WRAPS: (scene) =>
    scene.op(IOMMU_TEST_OP_ADD_RESERVED, {
      id: 1,
      add_reserved_start: 2n ** 64n - 1n,
      add_reserved_length: 2,
    }),
  FD_IS_NO_ACCESS: (scene) => scene.op(IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, { id: 77 }),
  NO_FREE_DESCRIPTOR: (scene) => {
    const { process } = scene.booted
    while (process.dup(0) >= 0) {}
    scene.op(IOMMU_TEST_OP_CREATE_ACCESS, { id: 1 })
  },
  ACCESS_TOO_LARGE: (scene) =>
    scene.op(IOMMU_TEST_OP_ACCESS_RW, { access_rw_length: 16 * 2 ** 20 + 1 }),
  ACCESS_CANNOT_PIN: (scene) => scene.pin({}, 0),
  PAGES_DIFFER: (scene) => scene.pin({ access_pages_uptr: BUFFER + PAGE }),
  PAGE_NOT_THERE: (scene) => scene.pin({ access_pages_uptr: HOLE }),
  PINNED_ITEM_UNKNOWN: (scene) => {
    const id = createAccess(scene.booted, 1)
    scene.op(IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, { id, destroy_access_pages_access_pages_id: 3 })
  },
  REFS_MISALIGNED: (scene) =>
    scene.op(IOMMU_TEST_OP_MD_CHECK_REFS, { check_refs_uptr: BUFFER + 1 }),
  REFS_DIFFER: (scene) =>
    scene.op(IOMMU_TEST_OP_MD_CHECK_REFS, {
      check_refs_uptr: BUFFER,
      check_refs_length: PAGE,
      check_refs_refs: 5,
    }),
  MEMORY_LIMIT_TOO_SMALL: (scene) =>
    scene.op(IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT, { memory_limit_limit: 11 }),
  MOCK_FLAGS_UNKNOWN: (scene) => {
    scene.device(1 << 7)
  },
  DEVICE_WITHOUT_DIRTY: (scene) => {
    const table = scene.alloc({
      dev_id: scene.device().idev,
      flags: IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
    })
    const { stdev } = scene.device(MOCK_FLAGS_DEVICE_NO_DIRTY)
    const values = { id: stdev, mock_domain_replace_pt_id: table }
    scene.op(IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, values)
  },
  MOCK_MAP_WITHOUT_PERMISSION: (scene) => {
    const { domain } = scene.booted.ctx.find(scene.device().hwpt, HWPT) as IommufdHwptPaging
    domain.map(0, START, Uint32Array.of(0), 0, 0, PAGE, 0, false)
  },
  MOCK_TABLE_UNKNOWN: (scene) => {
    const data = scene.data(IOMMU_HWPT_DATA_SELFTEST, 7)
    scene.alloc({ dev_id: scene.device().idev, ...data })
  },
  MOCK_NESTED_FLAGS: (scene) => {
    const dev_id = scene.device().idev
    const pt_id = scene.alloc({ dev_id, flags: IOMMU_HWPT_ALLOC_NEST_PARENT })
    const { ctx, engine, process } = scene.booted
    const idev = ctx.find(dev_id, DEVICE) as IommufdDevice
    const { domain } = ctx.find(pt_id, HWPT) as IommufdHwptPaging
    const data = new UserData(engine, process, IOMMU_HWPT_DATA_SELFTEST, 0, DATA, 4)
    // iommufd never passes another flag on, so the driver is asked directly.
    idev.ops.domainAllocNested?.(idev.dev, domain, IOMMU_HWPT_FAULT_ID_VALID, data)
  },
  MOCK_DATA_TYPE: (scene) => {
    scene.alloc({ dev_id: scene.device().idev, ...scene.data(IOMMU_HWPT_DATA_VTD_S1) })
  },
  MOCK_HW_INFO_TYPE: (scene) => {
    const values = {
      dev_id: scene.device().idev,
      flags: IOMMU_HW_INFO_FLAG_INPUT_TYPE,
      in_data_type: IOMMU_HW_INFO_TYPE_AMD,
    }
    ioctl(scene.booted, IOMMU_GET_HW_INFO, iommu_hw_info, values)
  },
  MOCK_PASID_REFUSED: (scene) => {
    const { stdev, idev } = scene.device()
    const tables = [1, 2].map(() => scene.alloc({ dev_id: idev, flags: ALLOC_PASID }))
    const [first, second] = tables as [number, number]
    const pasid = IOMMU_TEST_PASID_RESERVED
    scene.op(IOMMU_TEST_OP_PASID_REPLACE, { id: stdev, pasid_replace_pt_id: first })
    const attach = { pasid_attach_pasid: pasid, pasid_attach_pt_id: first }
    scene.op(IOMMU_TEST_OP_PASID_ATTACH, { id: stdev, ...attach })
    const replace = { pasid_replace_pasid: pasid, pasid_replace_pt_id: second }
    scene.op(IOMMU_TEST_OP_PASID_REPLACE, { id: stdev, ...replace })
  },
  HWPT_UNKNOWN: (scene) => {
    const { stdev } = scene.device()
    scene.op(IOMMU_TEST_OP_PASID_CHECK_HWPT, { id: stdev, pasid_check_hwpt_id: 99 })
  },
  NO_HWPT: (scene) => {
    const { stdev } = scene.device()
    scene.op(IOMMU_TEST_OP_PASID_CHECK_HWPT, { id: stdev, pasid_check_hwpt_id: 1 })
  },
  PASID_HWPT_DIFFERS: (scene) => {
    const { stdev } = scene.device()
    scene.op(IOMMU_TEST_OP_PASID_CHECK_HWPT, { id: stdev })
  },
  DIRTY_RANGE_UNUSABLE: (scene) => scene.op(IOMMU_TEST_OP_DIRTY, { id: scene.device().hwpt }),
  DIRTY_NOT_RECORDED: (scene) =>
    scene.op(IOMMU_TEST_OP_DIRTY, {
      id: scene.device().hwpt,
      dirty_length: PAGE,
      dirty_page_size: PAGE,
      dirty_uptr: BUFFER,
    }),
  DIRTY_RANGE_TOO_LONG: (scene) =>
    scene.op(IOMMU_TEST_OP_DIRTY, {
      id: scene.device().hwpt,
      dirty_length: 2n ** 62n,
      dirty_page_size: PAGE,
      dirty_uptr: BUFFER,
    }),
  MOCK_INVALIDATE_TYPE: nested((scene, id) => scene.invalidate(id, ENTRY, [{}], { data_type: 1 })),
  MOCK_INVALIDATE_FLAGS: nested((scene, id) => scene.invalidate(id, ENTRY, [{ flags: 2 }])),
  MOCK_INVALIDATE_ENTRY: nested((scene, id) => scene.invalidate(id, ENTRY, [{ iotlb_id: 4 }])),
  MOCK_INVALIDATE_DEVICE: viommu((scene, id) => scene.invalidate(id, COMMAND, [{ vdev_id: 7 }])),
  MOCK_INVALIDATE_TOO_MANY: viommu((scene, id) => {
    return scene.invalidate(id, COMMAND, [], { entry_num: 2 ** 19 })
  }),
  MOCK_HW_QUEUE_INDEX: viommu((scene, id) => scene.hwQueue(id, 2)),
  MOCK_HW_QUEUE_EXISTS: viommu((scene, id) => {
    scene.hwQueue(id, 0)
    return scene.hwQueue(id, 0)
  }),
  MOCK_HW_QUEUE_ORDER: viommu((scene, id) => scene.hwQueue(id, 1)),
  IOTLB_DIFFERS: nested((scene, id) => scene.checkIotlb(id, 0, IOTLB + 1)),
  CACHE_DIFFERS: viommu((scene) => scene.checkCache(0, 0)),
  NESTED_NOT_MOCK: viommu((scene) => {
    const { ctx } = scene.booted
    const hwpt = ctx.find(scene.parent, HWPT) as IommufdHwptPaging
    const domain: NestedDomain = { type: 'nested', owner: hwpt.domain.owner, attachDev: () => 0 }
    const foreign = new IommufdHwptNested(hwpt, domain)
    ctx.objects.reserve(foreign)
    ctx.objects.finalize(foreign)
    return scene.checkIotlb(foreign.id, 0, 0)
  }),
  DEVICE_NOT_MOCK: viommu((scene) => {
    const { ctx } = scene.booted
    const { ops } = ctx.find(scene.idev, DEVICE) as IommufdDevice
    const dev = new Device('foreign')
    dev.ops = ops
    dev.group = new IommuGroup(new Iommu(scene.booted.engine))
    const idev = IommufdDevice.bind(ctx, dev) as IommufdDevice
    return scene.checkCache(0, 0, idev.id)
  }),
  DEVICE_ON_NO_VIOMMU: viommu((scene) => scene.triggerVevent()),
  MAP_MISALIGNED: (scene) =>
    scene.op(IOMMU_TEST_OP_MD_CHECK_MAP, { id: scene.device().hwpt, check_map_iova: START + 1 }),
  MAP_DIFFERS: (scene) =>
    scene.op(IOMMU_TEST_OP_MD_CHECK_MAP, {
      id: scene.device().hwpt,
      check_map_iova: START,
      check_map_uptr: BUFFER,
      check_map_length: PAGE,
    }),
}

test.each(Object.keys(selftestRefusals) as Name[])('%s is reached by a call', (name) => {
  const scene = new Scene()
  scene.booted.engine.refusals.clear()
  provoked[name](scene)
  const { last } = scene.booted.engine.refusals
  expect(last?.id).toBe(name)
  expect(last?.errno).toBe(selftestRefusals[name].errno)
  expect(`${last?.sentence} ${last?.remedy}`).not.toMatch(/[{}]/)
})
