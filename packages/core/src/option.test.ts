// SPDX-License-Identifier: Apache-2.0
//
// IOMMU_OPTION, with the option that belongs to the core.

import type { StructInput } from '@iommufd/uapi'
import {
  CAP_IPC_LOCK,
  CAP_SYS_RESOURCE,
  IOMMU_OPTION,
  IOMMU_OPTION_HUGE_PAGES,
  IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_OP_SET,
  IOMMU_OPTION_RLIMIT_MODE,
  iommu_option,
  PROT_READ,
  writeStruct,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import {
  ARG,
  type Booted,
  boot,
  contextOf,
  ioctl,
  mapPage,
  PAGE,
  Thing,
  why,
} from '../test/harness.js'

type Option = StructInput<typeof iommu_option>

const RO_ARG = 0x1_0000_2000
const SET = { option_id: IOMMU_OPTION_RLIMIT_MODE, op: IOMMU_OPTION_OP_SET }
const GET = { option_id: IOMMU_OPTION_RLIMIT_MODE, op: IOMMU_OPTION_OP_GET }

function option(booted: Booted, values: Option): string {
  return why(booted.engine, ioctl(booted, IOMMU_OPTION, iommu_option, values).ret)
}

/** The same machine, asked by a process with these capabilities and its own context. */
function asProcess(booted: Booted, caps: number[]): Booted {
  const process = booted.machine.spawn({ uid: 1000, caps })
  mapPage(process, ARG)
  const fd = process.open('/dev/iommu')
  return { ...booted, process, fd, ctx: contextOf(booted.engine, process, fd) }
}

describe('C9: RLIMIT_MODE', () => {
  test('C9: SET chooses who is charged, GET tells', () => {
    const booted = boot()
    const mode = (): bigint => ioctl(booted, IOMMU_OPTION, iommu_option, GET).out.val64
    expect([mode(), booted.ctx.accountMode]).toEqual([0n, 'user'])
    expect(option(booted, { ...SET, val64: 1 })).toBe('0')
    expect([mode(), booted.ctx.accountMode]).toEqual([1n, 'mm'])
    expect(option(booted, { ...SET, val64: 0 })).toBe('0')
    expect([mode(), booted.ctx.accountMode]).toEqual([0n, 'user'])
  })

  test('F1: a context of /dev/vfio/vfio begins with 1', () => {
    const booted = boot()
    const fd = booted.process.open('/dev/vfio/vfio')
    expect(ioctl({ ...booted, fd }, IOMMU_OPTION, iommu_option, GET).out.val64).toBe(1n)
  })

  test('C9: the checks come in this order', () => {
    // Everything is wrong at first; each step mends what was refused.
    const unprivileged = asProcess(boot(), [CAP_IPC_LOCK])
    const values = { option_id: 7, op: 2, __reserved: 1, object_id: 1, val64: 2 }
    const answers = [option(unprivileged, values)]
    const mend = (part: Option): unknown =>
      answers.push(option(unprivileged, Object.assign(values, part)))
    unprivileged.ctx.objects.reserve(new Thing())
    mend({ __reserved: 0 })
    mend({ option_id: IOMMU_OPTION_RLIMIT_MODE })
    mend({ object_id: 0 })
    mend({ op: IOMMU_OPTION_OP_SET })
    expect(answers).toEqual([
      'EOPNOTSUPP OPTION_RESERVED',
      'EOPNOTSUPP OPTION_UNKNOWN',
      'EOPNOTSUPP RLIMIT_OBJECT_ID',
      'EOPNOTSUPP OPTION_OP_UNKNOWN',
      'EPERM RLIMIT_NOT_PRIVILEGED',
    ])
    const privileged = asProcess(unprivileged, [CAP_SYS_RESOURCE])
    const thing = new Thing()
    privileged.ctx.objects.reserve(thing)
    expect(option(privileged, values)).toBe('EBUSY RLIMIT_HAS_OBJECTS')
    privileged.ctx.objects.abort(thing)
    expect(option(privileged, values)).toBe('EINVAL RLIMIT_VALUE')
    expect(option(privileged, { ...values, val64: 1 })).toBe('0')
  })

  test('C9: any object is in the way, visible or not, until it is gone', () => {
    const booted = boot()
    const { objects } = booted.ctx
    const thing = new Thing()
    objects.reserve(thing)
    expect(option(booted, { ...SET, val64: 1 })).toBe('EBUSY RLIMIT_HAS_OBJECTS')
    objects.finalize(thing)
    expect(option(booted, { ...SET, val64: 1 })).toBe('EBUSY RLIMIT_HAS_OBJECTS')
    expect(option(booted, GET)).toBe('0')
    objects.remove(thing)
    expect(option(booted, { ...SET, val64: 1 })).toBe('0')
  })

  test('C9: values above 1 are EINVAL, whichever word they are in', () => {
    const booted = boot()
    for (const val64 of [2, 2 ** 32, 2n ** 32n + 1n, 2n ** 64n - 1n]) {
      expect(option(booted, { ...SET, val64 })).toBe('EINVAL RLIMIT_VALUE')
      expect(booted.engine.refusals.last?.operands).toEqual({ value: BigInt(val64) })
    }
    expect(booted.ctx.accountMode).toBe('user')
  })

  test('C9: GET needs no privilege', () => {
    expect(option(asProcess(boot(), []), GET)).toBe('0')
  })
})

describe('the command', () => {
  test('C9: only val64 is written back', () => {
    const booted = boot()
    const given = { ...GET, size: 32, val64: 0xffff_ffff_ffffn }
    // The struct is read before the answer is judged, so what lies before val64 can be changed in between.
    booted.engine.options.set(5, (ucmd) => {
      ucmd.bytes.fill(0x77, 0, iommu_option.size)
      return 0
    })
    const { ret, out } = ioctl(booted, IOMMU_OPTION, iommu_option, { ...given, option_id: 5 })
    const { val64, ...rest } = out
    expect([ret, val64]).toEqual([0, 0x7777777777777777n])
    expect(rest).toEqual({ size: 32, option_id: 5, op: 1, __reserved: 0, object_id: 0 })
  })

  test('C9: nothing is written back when the option refuses', () => {
    const booted = boot()
    const { ret, out } = ioctl(booted, IOMMU_OPTION, iommu_option, { ...SET, val64: 9 })
    expect([ret, out.val64]).toEqual([-22, 9n])
  })

  test('C9: what was set stays set when val64 cannot be written back', () => {
    const { engine, process, fd, ctx } = boot()
    mapPage(process, RO_ARG)
    process.store(RO_ARG, writeStruct(iommu_option, { ...SET, val64: 1 }))
    process.mprotect(RO_ARG, PAGE, PROT_READ)
    expect(why(engine, process.ioctl(fd, IOMMU_OPTION, RO_ARG))).toBe('EFAULT STRUCT_UNWRITABLE')
    expect(engine.refusals.last?.operands).toEqual({ address: BigInt(RO_ARG + 16), length: 8 })
    expect(ctx.accountMode).toBe('mm')
  })

  test('C9: options of objects are unknown until their layer is there', () => {
    const booted = boot()
    const values = { option_id: IOMMU_OPTION_HUGE_PAGES, op: IOMMU_OPTION_OP_GET }
    for (const option_id of [IOMMU_OPTION_HUGE_PAGES, 2, 0x80000000, 0xffffffff]) {
      expect(option(booted, { ...values, option_id })).toBe('EOPNOTSUPP OPTION_UNKNOWN')
      expect(booted.engine.refusals.last?.operands).toEqual({ option: option_id })
    }
    booted.engine.options.set(IOMMU_OPTION_HUGE_PAGES, () => 0)
    expect(option(booted, values)).toBe('0')
  })
})
