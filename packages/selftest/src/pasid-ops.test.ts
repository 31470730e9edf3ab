// SPDX-License-Identifier: Apache-2.0
import { registerHwIommu } from '@iommufd/hw-iommu'
import {
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
  IOMMU_TEST_OP_PASID_ATTACH,
  IOMMU_TEST_OP_PASID_CHECK_HWPT,
  IOMMU_TEST_OP_PASID_DETACH,
  IOMMU_TEST_OP_PASID_REPLACE,
  IOMMU_TEST_PASID_RESERVED,
  iommu_hwpt_alloc,
  MOCK_FLAGS_DEVICE_PASID,
  MOCK_PASID_WIDTH,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import {
  allocIoas,
  type Booted,
  boot,
  destroyId,
  ioctl,
  readOnlyOp,
  type TestCmd,
  testOp,
} from '../test/harness.js'

const { PASID_ATTACH, PASID_CHECK_HWPT, PASID_DETACH, PASID_REPLACE } = {
  PASID_ATTACH: IOMMU_TEST_OP_PASID_ATTACH,
  PASID_CHECK_HWPT: IOMMU_TEST_OP_PASID_CHECK_HWPT,
  PASID_DETACH: IOMMU_TEST_OP_PASID_DETACH,
  PASID_REPLACE: IOMMU_TEST_OP_PASID_REPLACE,
}

/** A mock device on a table made for PASIDs, and two more such tables. */
class Scene {
  readonly booted: Booted = boot()
  readonly stdev: number
  readonly idev: number
  readonly plain: number
  readonly first: number
  readonly second: number

  constructor(flags: number = MOCK_FLAGS_DEVICE_PASID) {
    registerHwIommu(this.booted.engine)
    const values = { id: allocIoas(this.booted), mock_domain_flags_dev_flags: flags }
    const { out } = testOp(this.booted, IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, values)
    this.stdev = out.mock_domain_out_stdev_id
    this.idev = out.mock_domain_out_idev_id
    this.plain = this.table()
    this.first = this.table()
    this.second = this.table()
    expect(this.op(PASID_REPLACE, { pasid_replace_pt_id: this.plain })).toBe('0')
  }

  table(flags: number = IOMMU_HWPT_ALLOC_PASID): number {
    const values = { dev_id: this.idev, pt_id: 1, flags }
    return ioctl(this.booted, IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, values).out.out_hwpt_id
  }

  op(op: number, values: TestCmd): string {
    return testOp(this.booted, op, { id: this.stdev, ...values }).answer
  }

  attach(pasid_attach_pasid: number, pasid_attach_pt_id: number): string {
    return this.op(PASID_ATTACH, { pasid_attach_pasid, pasid_attach_pt_id })
  }

  replace(pasid_replace_pasid: number, pasid_replace_pt_id: number): string {
    return this.op(PASID_REPLACE, { pasid_replace_pasid, pasid_replace_pt_id })
  }

  detach(pasid_detach_pasid: number): string {
    return this.op(PASID_DETACH, { pasid_detach_pasid })
  }

  check(pasid_check_pasid: number, pasid_check_hwpt_id: number): string {
    return this.op(PASID_CHECK_HWPT, { pasid_check_pasid, pasid_check_hwpt_id })
  }
}

describe('section 10: PASID operations', () => {
  test('attach, replace and detach change what the PASID uses', () => {
    const scene = new Scene()
    const { first, second, plain } = scene
    expect(scene.check(7, 0)).toBe('0')
    expect(scene.attach(7, first)).toBe('0')
    expect(scene.check(7, first)).toBe('0')
    expect(scene.check(7, second)).toBe('EINVAL PASID_HWPT_DIFFERS')
    expect(scene.check(7, 0)).toBe('EINVAL PASID_HWPT_DIFFERS')
    expect(scene.replace(7, second)).toBe('0')
    expect(scene.check(7, second)).toBe('0')
    expect(scene.detach(7)).toBe('0')
    expect(scene.check(7, 0)).toBe('0')
    expect(scene.check(0, plain)).toBe('0')
  })

  test('the id of the table comes back in the struct', () => {
    const scene = new Scene()
    const values = { id: scene.stdev, pasid_replace_pt_id: scene.first }
    const { out } = testOp(scene.booted, PASID_REPLACE, values)
    expect(out.pasid_replace_pt_id).toBe(scene.first)
  })

  test('detaching what is not attached is served; PASID 0 is the device itself', () => {
    const scene = new Scene()
    expect(scene.detach(7)).toBe('0')
    expect(scene.attach(0, scene.first)).toBe('EBUSY DEVICE_ATTACHED_ALREADY')
    expect(scene.detach(0)).toBe('0')
    expect(scene.check(0, 0)).toBe('0')
    expect(scene.attach(0, scene.first)).toBe('0')
    expect(scene.detach(0)).toBe('0')
    expect(destroyId(scene.booted, scene.stdev)).toBe('0')
    expect(destroyId(scene.booted, scene.first)).toBe('0')
  })

  test.each<[string, (scene: Scene) => string]>([
    ['ENOENT OBJECT_UNKNOWN', (scene) => scene.op(PASID_ATTACH, { id: 1 })],
    ['ENOENT OBJECT_UNKNOWN', (scene) => scene.op(PASID_REPLACE, { id: 99 })],
    ['ENOENT OBJECT_UNKNOWN', (scene) => scene.op(PASID_DETACH, { id: 99 })],
    ['ENOENT OBJECT_UNKNOWN', (scene) => scene.op(PASID_CHECK_HWPT, { id: 99 })],
    ['ENOENT PT_UNKNOWN', (scene) => scene.attach(1, 99)],
    ['EINVAL OBJECT_NOT_ATTACHABLE', (scene) => scene.attach(1, scene.stdev)],
    ['ENOENT HWPT_UNKNOWN', (scene) => scene.check(1, 99)],
    ['EINVAL NO_HWPT', (scene) => scene.check(1, 1)],
    ['EINVAL HWPT_WITHOUT_PASID', (scene) => scene.attach(1, 1)],
    ['EINVAL DEVICE_NOT_ATTACHED', (scene) => scene.replace(1, scene.first)],
    ['EINVAL PASID_OUT_OF_RANGE', (scene) => scene.attach(1 << MOCK_PASID_WIDTH, scene.first)],
    ['0', (scene) => scene.attach((1 << MOCK_PASID_WIDTH) - 1, scene.first)],
    [
      'EINVAL PASID_OUT_OF_RANGE',
      () => {
        const scene = new Scene(0)
        return scene.attach(1, scene.first)
      },
    ],
  ])('%s', (outcome, call) => {
    expect(call(new Scene())).toBe(outcome)
  })

  test('an answer that cannot be written back: an attachment is undone, a replacement stays', () => {
    const scene = new Scene()
    const { booted, stdev, first, second } = scene
    const attach = { id: stdev, pasid_attach_pasid: 3, pasid_attach_pt_id: first }
    expect(readOnlyOp(booted, PASID_ATTACH, attach)).toBe('EFAULT STRUCT_UNWRITABLE')
    expect(scene.check(3, 0)).toBe('0')
    scene.attach(3, first)
    const replace = { id: stdev, pasid_replace_pasid: 3, pasid_replace_pt_id: second }
    expect(readOnlyOp(booted, PASID_REPLACE, replace)).toBe('EFAULT STRUCT_UNWRITABLE')
    expect(scene.check(3, second)).toBe('0')
  })

  test('of PASID 1024 every second table is refused, and the first one stays', () => {
    const scene = new Scene()
    const pasid = IOMMU_TEST_PASID_RESERVED
    const { first, second } = scene
    expect(scene.attach(pasid, first)).toBe('0')
    expect(scene.replace(pasid, first)).toBe('0')
    expect(scene.replace(pasid, second)).toBe('ENOMEM MOCK_PASID_REFUSED')
    expect(scene.check(pasid, first)).toBe('0')
    expect(scene.replace(pasid, second)).toBe('0')
    expect(scene.check(pasid, second)).toBe('0')
    expect(scene.detach(pasid)).toBe('0')
    expect(scene.attach(pasid, first)).toBe('0')
  })

  test('destroying the device, or closing, detaches what is attached', () => {
    const scene = new Scene()
    const { booted, first, second } = scene
    scene.attach(1, first)
    scene.attach(2, second)
    expect(destroyId(booted, first)).toBe('EBUSY OBJECT_BUSY')
    expect(destroyId(booted, scene.stdev)).toBe('0')
    expect(destroyId(booted, first)).toBe('0')
    const other = new Scene()
    other.attach(1, other.first)
    const { ctx, process, fd } = other.booted
    process.close(fd)
    expect(ctx.released).toBe(true)
    expect(ctx.objects.isEmpty).toBe(true)
  })

  test.each<[string, (scene: Scene) => string]>([
    ['PASID_ATTACH', (scene) => scene.attach(2, scene.second)],
    ['PASID_REPLACE', (scene) => scene.replace(1, scene.second)],
  ])('%s: every fault point leaves everything as before', (_name, call) => {
    const scene = new Scene()
    scene.attach(1, scene.first)
    const { booted } = scene
    const { faults } = booted.engine
    const state = () => [
      [...booted.ctx.objects].map(({ id, users }) => [id, users]),
      [1, 2].map((pasid) => [scene.check(pasid, 0), scene.check(pasid, scene.first)]),
    ]
    const before = state()
    let failed = 0
    for (let n = 1; ; n++) {
      faults.arm(n)
      const answer = call(scene)
      const { fired } = faults
      faults.disarm()
      if (!fired) break
      failed++
      expect(answer, `point ${n}`).toMatch(/^E(NOMEM|FAULT) INJECTED_/)
      // A replacement whose answer cannot be written back has happened.
      if (answer === 'EFAULT INJECTED_EFAULT' && scene.check(1, scene.second) === '0') {
        scene.replace(1, scene.first)
      }
      expect(state(), `point ${n}`).toEqual(before)
    }
    expect(failed).toBeGreaterThan(2)
  })
})
