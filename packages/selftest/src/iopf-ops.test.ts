// SPDX-License-Identifier: Apache-2.0
import { registerHwIommu } from '@iommufd/hw-iommu'
import {
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_DATA_SELFTEST,
  IOMMU_HWPT_FAULT_ID_VALID,
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
  IOMMU_TEST_OP_PASID_ATTACH,
  IOMMU_TEST_OP_PASID_DETACH,
  IOMMU_TEST_OP_PASID_REPLACE,
  IOMMU_TEST_OP_TRIGGER_IOPF,
  IOMMU_TEST_PASID_RESERVED,
  iommu_fault_alloc,
  iommu_hwpt_alloc,
  iommu_hwpt_page_response,
  iommu_hwpt_pgfault,
  iommu_hwpt_selftest,
  MOCK_FLAGS_DEVICE_PASID,
  POLLIN,
  POLLOUT,
  readStruct,
  type StructInput,
  writeStruct,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import {
  allocIoas,
  type Booted,
  BUFFER,
  boot,
  destroyId,
  ioctl,
  PAGE,
  type TestCmd,
  testOp,
  why,
} from '../test/harness.js'

const DATA = BUFFER + PAGE
const FAULT = iommu_hwpt_pgfault.size

/** A mock device that has PASIDs, and a fault queue. */
class Scene {
  readonly booted: Booted = boot()
  readonly stdev: number
  readonly idev: number
  readonly queue: number
  readonly fd: number

  constructor() {
    registerHwIommu(this.booted.engine)
    const id = allocIoas(this.booted)
    const values = { id, mock_domain_flags_dev_flags: MOCK_FLAGS_DEVICE_PASID }
    const { out } = testOp(this.booted, IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, values)
    this.stdev = out.mock_domain_out_stdev_id
    this.idev = out.mock_domain_out_idev_id
    const queue = ioctl(this.booted, IOMMU_FAULT_QUEUE_ALLOC, iommu_fault_alloc, {})
    this.queue = queue.out.out_fault_id
    this.fd = queue.out.out_fault_fd
  }

  table(values: StructInput<typeof iommu_hwpt_alloc> = {}): number {
    const defaults = { dev_id: this.idev, pt_id: 1, fault_id: this.queue }
    const given = { ...defaults, ...values }
    const { ret, out } = ioctl(this.booted, IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, given)
    if (ret !== 0) throw new Error(why(this.booted.engine, ret))
    return out.out_hwpt_id
  }

  /** A table with the fault queue that can be used beside PASIDs. */
  faulting(): number {
    return this.table({ flags: IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID })
  }

  /** A guest's table, with the fault queue. */
  nested(): number {
    this.booted.process.store(DATA, new Uint8Array(iommu_hwpt_selftest.size))
    return this.table({
      pt_id: this.table({ flags: IOMMU_HWPT_ALLOC_NEST_PARENT }),
      flags: IOMMU_HWPT_FAULT_ID_VALID,
      data_type: IOMMU_HWPT_DATA_SELFTEST,
      data_len: iommu_hwpt_selftest.size,
      data_uptr: DATA,
    })
  }

  op(op: number, values: TestCmd): string {
    return testOp(this.booted, op, { id: this.stdev, ...values }).answer
  }

  replace(mock_domain_replace_pt_id: number): string {
    return this.op(IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, { mock_domain_replace_pt_id })
  }

  attach(pasid_attach_pasid: number, pasid_attach_pt_id: number): string {
    return this.op(IOMMU_TEST_OP_PASID_ATTACH, { pasid_attach_pasid, pasid_attach_pt_id })
  }

  trigger(values: TestCmd = {}): string {
    const defaults = { trigger_iopf_dev_id: this.idev, trigger_iopf_grpid: 1 }
    return this.op(IOMMU_TEST_OP_TRIGGER_IOPF, { ...defaults, ...values })
  }

  /** grpid and PASID of the faults that are queued. */
  read(): string[] {
    const { process } = this.booted
    const ret = process.read(this.fd, DATA, 10 * FAULT)
    const bytes = process.load(DATA, ret) as Uint8Array
    return Array.from({ length: ret / FAULT }, (_, i) => {
      const fault = readStruct(iommu_hwpt_pgfault, bytes.subarray(i * FAULT, (i + 1) * FAULT))
      return `${fault.grpid}:${fault.pasid}`
    })
  }

  respond(cookie: number): string {
    const { process, engine } = this.booted
    process.store(DATA, writeStruct(iommu_hwpt_page_response, { cookie, code: 0 }))
    return why(engine, process.write(this.fd, DATA, 8))
  }
}

describe('section 10: TRIGGER_IOPF', () => {
  test('L7: the device of the table asks for a page: one whole group', () => {
    const scene = new Scene()
    const { process } = scene.booted
    expect(scene.replace(scene.faulting())).toBe('0')
    const values = {
      trigger_iopf_grpid: 0xfffffffe,
      trigger_iopf_perm: 7,
      trigger_iopf_addr: 0x8000_0000_0000_0001n,
    }
    expect(scene.trigger(values)).toBe('0')
    expect(process.poll(scene.fd, POLLIN | POLLOUT).revents).toBe(POLLIN | POLLOUT)
    expect(process.read(scene.fd, DATA, FAULT)).toBe(FAULT)
    expect(readStruct(iommu_hwpt_pgfault, process.load(DATA, FAULT) as Uint8Array)).toEqual({
      flags: 2,
      dev_id: scene.idev,
      pasid: 0,
      grpid: 0xfffffffe,
      perm: 7,
      __reserved: 0,
      addr: 0x8000_0000_0000_0001n,
      length: 0,
      cookie: 1,
    })
    expect(process.poll(scene.fd, POLLIN | POLLOUT).revents).toBe(POLLOUT)
    expect(scene.respond(1)).toBe('8')
    expect(scene.respond(1)).toBe('EINVAL FAULT_RESPONSE_COOKIE')
  })

  test('names a bound device, not its handle or its table', () => {
    const scene = new Scene()
    for (const trigger_iopf_dev_id of [scene.stdev, scene.queue, 0, 77]) {
      expect(scene.trigger({ trigger_iopf_dev_id })).toBe('ENOENT OBJECT_UNKNOWN')
    }
  })

  test('is 0 when nobody takes the fault', () => {
    const scene = new Scene()
    const table = scene.faulting()
    expect(scene.trigger()).toBe('0')
    expect(scene.replace(table)).toBe('0')
    expect(scene.trigger({ trigger_iopf_pasid: 5 })).toBe('0')
    expect(scene.read()).toEqual([])
  })

  test('E10: a PASID goes to its own table, with no fault queue beside it', () => {
    const scene = new Scene()
    const plain = scene.table({ flags: IOMMU_HWPT_ALLOC_PASID })
    const table = scene.faulting()
    expect(scene.replace(plain)).toBe('0')
    expect(scene.attach(3, table)).toBe('0')
    scene.trigger({ trigger_iopf_pasid: 3, trigger_iopf_grpid: 1 })
    scene.trigger({ trigger_iopf_pasid: 4, trigger_iopf_grpid: 2 })
    scene.trigger({ trigger_iopf_grpid: 3 })
    expect(scene.read()).toEqual(['1:3'])
    expect(scene.op(IOMMU_TEST_OP_PASID_DETACH, { pasid_detach_pasid: 3 })).toBe('0')
    expect(scene.respond(1)).toBe('EINVAL FAULT_RESPONSE_COOKIE')
    scene.trigger({ trigger_iopf_pasid: 3 })
    expect(scene.read()).toEqual([])
  })

  test('E10: a PASID that is not attached goes to the guest’s table of the device', () => {
    const scene = new Scene()
    expect(scene.replace(scene.nested())).toBe('0')
    scene.trigger({ trigger_iopf_pasid: 9 })
    expect(scene.read()).toEqual(['1:9'])
  })

  test('E10: a replacement that fails half-way leaves the faults of the PASID', () => {
    const scene = new Scene()
    const pasid = IOMMU_TEST_PASID_RESERVED
    const [first, second] = [scene.faulting(), scene.faulting()]
    expect(scene.replace(first)).toBe('0')
    expect(scene.attach(pasid, first)).toBe('0')
    scene.trigger({ trigger_iopf_pasid: pasid })
    const to = { pasid_replace_pasid: pasid, pasid_replace_pt_id: second }
    expect(scene.op(IOMMU_TEST_OP_PASID_REPLACE, to)).toBe('ENOMEM MOCK_PASID_REFUSED')
    expect(scene.read()).toEqual([`1:${pasid}`])
    expect(scene.op(IOMMU_TEST_OP_PASID_REPLACE, to)).toBe('0')
    expect(scene.respond(1)).toBe('EINVAL FAULT_RESPONSE_COOKIE')
  })

  test('L7: replacing and destroying the device answer what is outstanding', () => {
    const scene = new Scene()
    const [first, second] = [scene.faulting(), scene.faulting()]
    scene.replace(first)
    scene.trigger({ trigger_iopf_grpid: 1 })
    expect(scene.read()).toEqual(['1:0'])
    scene.trigger({ trigger_iopf_grpid: 2 })
    expect(scene.replace(second)).toBe('0')
    expect(scene.read()).toEqual([])
    expect(scene.respond(1)).toBe('EINVAL FAULT_RESPONSE_COOKIE')
    scene.trigger({ trigger_iopf_grpid: 3 })
    expect(destroyId(scene.booted, scene.stdev)).toBe('0')
    expect(scene.read()).toEqual([])
    expect(destroyId(scene.booted, first)).toBe('0')
    expect(destroyId(scene.booted, second)).toBe('0')
    scene.booted.process.close(scene.fd)
    expect(destroyId(scene.booted, scene.queue)).toBe('0')
  })

  test('without memory for the group the answer is 0 all the same, and nothing is queued', () => {
    const scene = new Scene()
    scene.replace(scene.faulting())
    const { faults } = scene.booted.engine
    const outcomes: string[] = []
    for (let n = 1; ; n++) {
      faults.arm(n)
      const answer = scene.trigger()
      const { fired } = faults
      faults.disarm()
      outcomes.push(`${answer} ${scene.read().length}`)
      if (!fired) break
    }
    const copy = 'EFAULT INJECTED_EFAULT 0'
    expect(outcomes).toEqual([copy, copy, '0 0', '0 1'])
  })

  test('F7: closing everything with faults outstanding leaves nothing', () => {
    const scene = new Scene()
    const { process, ctx, fd } = scene.booted
    scene.replace(scene.faulting())
    scene.trigger()
    scene.read()
    scene.trigger()
    process.close(fd)
    expect(ctx.released).toBe(false)
    process.close(scene.fd)
    expect(ctx.released).toBe(true)
    expect(ctx.objects.isEmpty).toBe(true)
  })
})
