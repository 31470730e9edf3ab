// SPDX-License-Identifier: Apache-2.0
//
// SPEC L8, section 8: what the page table of a device shows of a dma-buf whose memory is registers of another device, and
// what DMA finds there. Each format has room for the numbers of such frames.

import { type DmaBuf, File } from '@iommufd/host'
import { IOMMU_IOAS_MAP_FILE, IOMMU_IOAS_MAP_FIXED_IOVA, iommu_ioas_map_file } from '@iommufd/uapi'
import { expect, test } from 'vitest'
import { DmaWorld, faultsOf, IOVA, PAGE, READ, WRITE } from '../test/dma-world.js'
import { iovaToPhys, type PagingDomain } from './index.js'

/** Registers of 8 MiB: formats that have large pages use them. */
const NPAGES = 2048
const FRAME = 2 ** 31 + NPAGES

const registers: DmaBuf = {
  size: NPAGES * PAGE,
  ranges: [{ frame: FRAME, npages: NPAGES }],
  attach: () => true,
  detach: () => {},
}

test.each(['amdv1_mock', 'vtdss', 'x86_64', 'amdv1', 'riscv64'] as const)(
  'L8: registers of another device are mapped and are no memory, %s',
  (format) => {
    const world = new DmaWorld(format)
    const { dev, dma, ioas } = world.attached()
    world.map(ioas, world.numbered(1), PAGE, IOVA - BigInt(PAGE))
    const fd = world.process.installFile(new File('dmabuf', { dmaBuf: registers }))
    const flags = READ | WRITE | IOMMU_IOAS_MAP_FIXED_IOVA
    const values = { flags, ioas_id: ioas, fd, length: NPAGES * PAGE, iova: IOVA }
    expect(world.ioctl(IOMMU_IOAS_MAP_FILE, iommu_ioas_map_file, values).ret).toBe(0)
    const domain = dev.group?.domain as PagingDomain
    const at = (page: number): number => iovaToPhys(domain, 0, Number(IOVA) + page * PAGE + 5)
    expect([at(0), at(700), at(NPAGES - 1)]).toEqual([
      FRAME * PAGE + 5,
      (FRAME + 700) * PAGE + 5,
      (FRAME + NPAGES - 1) * PAGE + 5,
    ])
    expect(dma.read(IOVA - 2n, new Uint8Array(4))).toBe(2)
    expect(dma.write(IOVA + 8n, new Uint8Array(4))).toBe(0)
    expect(faultsOf(dma)).toEqual(['read NO_MEMORY at 0x1000000', 'write NO_MEMORY at 0x1000008'])
    world.unmap(ioas, IOVA, NPAGES * PAGE)
    expect(at(0)).toBe(-1)
  },
)
