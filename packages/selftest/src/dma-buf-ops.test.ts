// SPDX-License-Identifier: Apache-2.0
import { DeviceDma, HWPT, type IommufdHwptPaging, type PagingDomain } from '@iommufd/hw-iommu'
import { IOAS } from '@iommufd/pages'
import {
  EBADF,
  EINVAL,
  IOMMU_IOAS_CHANGE_PROCESS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_TEST_OP_ACCESS_PAGES,
  IOMMU_TEST_OP_ACCESS_RW,
  IOMMU_TEST_OP_DMABUF_GET,
  IOMMU_TEST_OP_DMABUF_REVOKE,
  IOMMU_TEST_OP_MD_CHECK_MAP,
  IOMMU_TEST_OP_MOCK_DOMAIN,
  iommu_ioas_change_process,
  iommu_ioas_copy,
  iommu_ioas_map_file,
  MAP_SHARED,
  MOCK_APERTURE_START,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  POLLIN,
  POLLOUT,
  PROT_READ,
  type StructInput,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import {
  allocIoas,
  type Booted,
  BUFFER,
  boot,
  createAccess,
  ioctl,
  PAGE,
  type Program,
  READ,
  readOnlyOp,
  testOp,
  unmap,
  why,
} from '../test/harness.js'
import { HANDLE } from './device-ops.js'
import { testDmaBufRefusals } from './index.js'

const START = MOCK_APERTURE_START
const RW: number = READ | 2

function get(program: Program, length: number, openFlags = O_RDWR): string {
  const values = { dmabuf_get_length: length, dmabuf_get_open_flags: openFlags }
  return testOp(program, IOMMU_TEST_OP_DMABUF_GET, values).answer
}

/** The descriptor of a new dma-buf. */
function dmaBuf(program: Program, npages = 4, openFlags?: number): number {
  const fd = program.process.unusedFd()
  expect(get(program, npages * PAGE, openFlags)).toBe('0')
  return fd
}

function revoke(program: Program, fd: number, revoked = 1): string {
  const values = { dmabuf_revoke_dmabuf_fd: fd, dmabuf_revoke_revoked: revoked }
  return testOp(program, IOMMU_TEST_OP_DMABUF_REVOKE, values).answer
}

function mapFile(program: Program, values: StructInput<typeof iommu_ioas_map_file>): string {
  const defaults = { flags: IOMMU_IOAS_MAP_FIXED_IOVA | RW, ioas_id: 1, iova: START, length: PAGE }
  const struct = { ...defaults, ...values }
  return why(program.engine, ioctl(program, IOMMU_IOAS_MAP_FILE, iommu_ioas_map_file, struct).ret)
}

/** A mock device on the IOAS: its DMA, and its table. */
function device(booted: Booted, id = 1): { dma: DeviceDma; domain: PagingDomain; hwpt: number } {
  const { out } = testOp(booted, IOMMU_TEST_OP_MOCK_DOMAIN, { id })
  const hwpt = out.mock_domain_out_hwpt_id
  const handle = booted.ctx.find(out.mock_domain_out_stdev_id, HANDLE)
  const { domain } = booted.ctx.find(hwpt, HWPT) as IommufdHwptPaging
  if (handle === undefined) throw new Error('MOCK_DOMAIN')
  return { dma: new DeviceDma(handle.dev, booted.machine), domain, hwpt }
}

/** IOAS 1 and 2. */
function start(): Booted {
  const booted = boot()
  for (const id of [1, 2]) expect(allocIoas(booted)).toBe(id)
  return booted
}

describe('section 10: DMABUF_GET', () => {
  test('gives the lowest free descriptor and does not tell it; the struct need not be writable', () => {
    const booted = start()
    const { process } = booted
    process.close(process.dup(0))
    const fd = process.unusedFd()
    const values = { dmabuf_get_length: PAGE, dmabuf_get_open_flags: 0xffffffff }
    expect(readOnlyOp(booted, IOMMU_TEST_OP_DMABUF_GET, values)).toBe('0')
    expect(process.file(fd)?.ops.dmaBuf?.size).toBe(PAGE)
  })

  test.each([
    [0, 'EINVAL DMABUF_LENGTH', 0],
    [1, '0', 1],
    [PAGE, '0', 1],
    [PAGE + 1, '0', 2],
    [512 * PAGE, '0', 512],
    [512 * PAGE + 1, 'EINVAL DMABUF_LENGTH', 0],
    [0xffffffff, 'EINVAL DMABUF_LENGTH', 0],
  ])('%i bytes are whole pages, at least one and at most 512', (length, answer, npages) => {
    const booted = start()
    const fd = booted.process.unusedFd()
    expect(get(booted, length)).toBe(answer)
    const found = booted.process.file(fd)?.ops.dmaBuf
    expect([found?.size ?? 0, booted.machine.pinnedFrames]).toEqual([npages * PAGE, npages])
    expect(found?.ranges.map((range) => range.npages) ?? []).toEqual(npages > 0 ? [npages] : [])
  })

  test('the file is opened as asked, is always ready, and no process can read or map it', () => {
    const booted = start()
    const { process } = booted
    const [both, reading, writing] = [O_RDWR, O_RDONLY, O_WRONLY].map((flags) => {
      return dmaBuf(booted, 1, flags)
    }) as [number, number, number]
    const mmap = (fd: number): number => process.mmap(0, PAGE, PROT_READ, MAP_SHARED, fd)
    expect([mmap(both), mmap(reading)]).toEqual([-EINVAL, -EINVAL])
    const read = (fd: number): number => process.read(fd, BUFFER, 8)
    expect([read(both), read(reading), read(writing)]).toEqual([-EINVAL, -EINVAL, -EBADF])
    expect(process.poll(both, POLLIN | POLLOUT).revents).toBe(POLLIN | POLLOUT)
  })

  test('its memory lives until its last descriptor is closed, in whatever process', () => {
    const booted = start()
    const fd = dmaBuf(booted)
    const child = booted.process.fork()
    booted.process.close(fd)
    expect(booted.machine.pinnedFrames).toBe(4)
    child.exit()
    expect(booted.machine.pinnedFrames).toBe(0)
  })

  test('each point that can fail leaves nothing behind', () => {
    const booted = start()
    const { faults } = booted.engine
    for (let n = 1; ; n++) {
      const fd = booted.process.unusedFd()
      faults.arm(n)
      const answer = get(booted, 2 * PAGE)
      const { fired } = faults
      faults.disarm()
      if (!fired) {
        expect([answer, n > 2]).toEqual(['0', true])
        return
      }
      expect(answer).toMatch(/INJECTED/)
      expect([booted.process.unusedFd(), booted.machine.pinnedFrames]).toEqual([fd, 0])
    }
  })
})

describe('L8: a dma-buf of DMABUF_GET', () => {
  test('is memory of devices: what one writes another reads; a revoked one is not mapped', () => {
    const booted = start()
    const fd = dmaBuf(booted)
    const first = device(booted)
    expect(mapFile(booted, { fd, length: 4 * PAGE })).toBe('0')
    expect(mapFile(booted, { fd, start: PAGE, length: 2 * PAGE, ioas_id: 2 })).toBe('0')
    const second = device(booted, 2)
    const sent = Uint8Array.from({ length: PAGE + 9 }, (_, i) => i)
    expect(first.dma.write(START + PAGE + 5, sent)).toBe(sent.length)
    const got = new Uint8Array(sent.length)
    expect(second.dma.read(START + 5, got)).toBe(sent.length)
    expect(got).toEqual(sent)
    expect(revoke(booted, fd)).toBe('0')
    expect([first.dma.read(START, got), second.dma.read(START, got)]).toEqual([0, 0])
    expect([first, second].map(({ dma }) => dma.takeFaults()[0]?.reason)).toEqual([
      'NOT_MAPPED',
      'NOT_MAPPED',
    ])
    expect(mapFile(booted, { fd, iova: START + 0x10000 })).toBe('ENODEV DMABUF_GONE')
    expect(booted.process.status()).toEqual({ VmPin: 0, VmLck: 0 })
  })

  test('may come back, for new mappings only; that it stays takes the old ones away, too', () => {
    const booted = start()
    const fd = dmaBuf(booted)
    const { dma } = device(booted)
    const bytes = new Uint8Array(1)
    expect(mapFile(booted, { fd })).toBe('0')
    expect([dma.read(START, bytes), revoke(booted, fd, 0), dma.read(START, bytes)]).toEqual([
      1,
      '0',
      0,
    ])
    expect(revoke(booted, fd, 7)).toBe('0')
    expect(mapFile(booted, { fd, iova: START + PAGE })).toBe('ENODEV DMABUF_GONE')
    expect(revoke(booted, fd, 0)).toBe('0')
    expect(mapFile(booted, { fd, iova: START + PAGE })).toBe('0')
    expect([dma.read(START, bytes), dma.read(START + PAGE, bytes)]).toEqual([0, 1])
  })

  test('stays while it is mapped, its descriptor closed or not', () => {
    const booted = start()
    const fd = dmaBuf(booted)
    const { dma } = device(booted)
    expect(mapFile(booted, { fd, length: 4 * PAGE })).toBe('0')
    booted.process.close(fd)
    expect(dma.write(START, Uint8Array.of(1))).toBe(1)
    expect(unmap(booted, 1, START, 4 * PAGE)).toBe('0')
    expect(booted.machine.pinnedFrames).toBe(0)
  })

  test('is given back when the context closes, and no other mapping of it is', () => {
    const booted = start()
    const fd = dmaBuf(booted)
    device(booted)
    expect(mapFile(booted, { fd, length: 4 * PAGE })).toBe('0')
    booted.process.close(booted.fd)
    expect([booted.tables.pages.count, booted.machine.pinnedFrames]).toEqual([0, 4])
    booted.process.close(fd)
    expect(booted.machine.pinnedFrames).toBe(0)
  })

  test('is nothing for accesses, for other processes, and no page of the caller', () => {
    const booted = start()
    const fd = dmaBuf(booted)
    const { hwpt } = device(booted)
    expect(mapFile(booted, { fd })).toBe('0')
    const id = createAccess(booted, 1)
    const rw = { id, access_rw_iova: START, access_rw_length: 8, access_rw_uptr: BUFFER }
    expect(testOp(booted, IOMMU_TEST_OP_ACCESS_RW, rw).answer).toBe('EINVAL DMABUF_NOT_FOR_CPU')
    const pages = { id, access_pages_iova: START, access_pages_length: PAGE }
    const pinned = testOp(booted, IOMMU_TEST_OP_ACCESS_PAGES, pages).answer
    expect(pinned).toBe('EINVAL DMABUF_NOT_FOR_CPU')
    const check = {
      id: hwpt,
      check_map_iova: START,
      check_map_length: PAGE,
      check_map_uptr: BUFFER,
    }
    const checked = testOp(booted, IOMMU_TEST_OP_MD_CHECK_MAP, check).answer
    expect(checked).toBe('EINVAL MAP_DIFFERS')
    const { ret } = ioctl(booted, IOMMU_IOAS_CHANGE_PROCESS, iommu_ioas_change_process, {})
    expect(why(booted.engine, ret)).toBe('EINVAL AREA_OF_DMABUF')
  })

  test('a copy of it is revoked with it', () => {
    const booted = start()
    const fd = dmaBuf(booted)
    const { dma } = device(booted, 2)
    expect(mapFile(booted, { fd })).toBe('0')
    const flags = IOMMU_IOAS_MAP_FIXED_IOVA | RW
    const ids = { src_ioas_id: 1, dst_ioas_id: 2 }
    const values = { ...ids, flags, src_iova: START, dst_iova: START, length: PAGE }
    expect(ioctl(booted, IOMMU_IOAS_COPY, iommu_ioas_copy, values).ret).toBe(0)
    expect(dma.read(START, new Uint8Array(1))).toBe(1)
    revoke(booted, fd)
    expect(dma.read(START, new Uint8Array(1))).toBe(0)
    expect(booted.ctx.find(2, IOAS)?.iopt.areas.size).toBe(1)
  })
})

describe('section 10: refusals', () => {
  const provoked: Record<keyof typeof testDmaBufRefusals, (booted: Booted) => string> = {
    DMABUF_LENGTH: (booted) => get(booted, 0),
    DMABUF_NO_MEMORY: (booted) => {
      const taken = new Uint32Array(64)
      while (booted.machine.allocate(taken.length, taken, 0) === 0) {}
      return get(booted, 512 * PAGE)
    },
    DMABUF_NO_DESCRIPTOR: (booted) => {
      while (booted.process.dup(0) >= 0) {}
      return get(booted, PAGE)
    },
    DMABUF_FD_UNKNOWN: (booted) => revoke(booted, 77),
    FD_IS_NO_DMABUF: (booted) => revoke(booted, booted.fd),
  }

  test.each(Object.entries(provoked))('%s is reached by a call', (name, call) => {
    const booted = boot({}, { memory: 8 << 20 })
    const before = booted.process.unusedFd()
    expect(call(booted)).toMatch(new RegExp(`^E[A-Z]+ ${name}$`))
    const { last } = booted.engine.refusals
    expect(last?.errno).toBe(testDmaBufRefusals[name as keyof typeof provoked].errno)
    expect(`${last?.sentence} ${last?.remedy}`).not.toMatch(/[{}]/)
    if (name !== 'DMABUF_NO_DESCRIPTOR') expect(booted.process.unusedFd()).toBe(before)
    else expect(booted.machine.pinnedFrames).toBe(0)
  })
})
