// SPDX-License-Identifier: Apache-2.0
/**
 * The commands that map, copy and unmap (SPEC C4, C6, C8, L8).
 *
 * Invariant: the struct is judged field by field in the kernel's order before the address space is
 * touched; what was done stays done when only the answer cannot be written back.
 */
import type { Ucmd } from '@iommufd/core'
import { previousHi, previousLo, sumHi, sumWraps } from '@iommufd/core'
import {
  ENOENT,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_TEST_CMD,
  iommu_ioas_copy,
  iommu_ioas_map,
  iommu_ioas_map_file,
  iommu_ioas_unmap,
  MOCK_FLAGS_ACCESS_SYZ,
} from '@iommufd/uapi'
import { resolveNthArea } from './area-notation.js'
import { AREA_READ, AREA_WRITE } from './area-table.js'
import type { IoPagetable } from './io-pagetable.js'
import { IOAS, type IommufdIoas } from './ioas.js'
import { collectPieces, mapPieces, releasePieces } from './iopt-copy.js'
import { MapRequest, mapFile, mapUser } from './iopt-map.js'
import { unmapAll, unmapRange } from './iopt-unmap.js'
import {
  FILE_DESCRIPTOR_UNKNOWN,
  FLAGS_UNKNOWN,
  IOVA_WRAPS,
  LENGTH_ZERO,
  NO_PERMISSION_ASKED,
  NOTHING_MAPPED,
  RANGE_AT_TOP,
  RESERVED_NOT_ZERO,
} from './refusals.js'

const KNOWN_FLAGS = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE

/** The request of the call in progress; calls never overlap. */
const request = new MapRequest()

export function ioasMap(ucmd: Ucmd): number {
  const { at } = iommu_ioas_map
  const rc = checkMap(ucmd, at.flags, ucmd.word(at.__reserved), at.iova, at.length)
  if (rc < 0) return rc
  const { ctx, task } = ucmd
  const ioas = ctx.find(ucmd.word(at.ioas_id), IOAS)
  if (ioas === undefined) return -ENOENT
  readRequest(ucmd, at.flags, at.iova, at.length)
  const accountsMm = ctx.accountMode === 'mm'
  const userHi = ucmd.hi(at.user_va)
  const mapped = mapUser(ioas.iopt, task, accountsMm, userHi, ucmd.lo(at.user_va), request)
  if (mapped < 0) return mapped
  ucmd.setU64(at.iova, request.iovaHi, request.iovaLo)
  return ucmd.respond(iommu_ioas_map.size)
}

export function ioasMapFile(ucmd: Ucmd): number {
  const { at } = iommu_ioas_map_file
  const rc = checkMap(ucmd, at.flags, 0, at.iova, at.length)
  if (rc < 0) return rc
  const { ctx, task } = ucmd
  const ioas = ctx.find(ucmd.word(at.ioas_id), IOAS)
  if (ioas === undefined) return -ENOENT
  const fd = ucmd.word(at.fd)
  const file = task.file(fd)
  if (file === undefined) return ctx.engine.refusals.refuse(FILE_DESCRIPTOR_UNKNOWN, fd)
  readRequest(ucmd, at.flags, at.iova, at.length)
  const startHi = ucmd.hi(at.start)
  const startLo = ucmd.lo(at.start)
  const accountsMm = ctx.accountMode === 'mm'
  const mapped = mapFile(ioas.iopt, task, accountsMm, file, startHi, startLo, request)
  if (mapped < 0) return mapped
  ucmd.setU64(at.iova, request.iovaHi, request.iovaLo)
  return ucmd.respond(iommu_ioas_map_file.size)
}

export function ioasCopy(ucmd: Ucmd): number {
  const { at } = iommu_ioas_copy
  const { ctx } = ucmd
  convertSource(ucmd)
  const rc = checkCopy(ucmd)
  if (rc < 0) return rc
  const source = ctx.find(ucmd.word(at.src_ioas_id), IOAS)
  if (source === undefined) return -ENOENT
  readRequest(ucmd, at.flags, at.dst_iova, at.length)
  const copied = copyBetween(ucmd, source)
  if (copied < 0) return copied
  ucmd.setU64(at.dst_iova, request.iovaHi, request.iovaLo)
  return ucmd.respond(iommu_ioas_copy.size)
}

export function ioasUnmap(ucmd: Ucmd): number {
  const { at } = iommu_ioas_unmap
  const { ctx } = ucmd
  const ioas = ctx.find(ucmd.word(at.ioas_id), IOAS)
  if (ioas === undefined) return -ENOENT
  const isAll = isZero(ucmd, at.iova) && isTop(ucmd, at.length)
  const rc = isAll ? unmapAll(ioas.iopt) : unmapChosen(ucmd, ioas.iopt)
  if (rc < 0) return rc
  ucmd.setU64(at.length, ioas.iopt.unmappedHi, ioas.iopt.unmappedLo)
  return ucmd.respond(iommu_ioas_unmap.size)
}

/** Replaces a source that is named by the number of its area, where tests may do so. */
function convertSource(ucmd: Ucmd): void {
  const { at } = iommu_ioas_copy
  const flags = ucmd.word(at.flags)
  if ((flags & MOCK_FLAGS_ACCESS_SYZ) === 0) return
  if (ucmd.ctx.engine.commands.find(IOMMU_TEST_CMD) === undefined) return
  const source = ucmd.ctx.objects.get(ucmd.word(at.src_ioas_id))
  ucmd.setWord(at.flags, flags & ~MOCK_FLAGS_ACCESS_SYZ)
  if (source === undefined || !IOAS.is(source)) return
  resolveNthArea(source.iopt, ucmd.hi(at.src_iova), ucmd.lo(at.src_iova))
  ucmd.setU64(at.src_iova, source.iopt.iovaHi, source.iopt.iovaLo)
}

/** The destination is looked up only after the source range has proved to be mapped. */
function copyBetween(ucmd: Ucmd, source: IommufdIoas): number {
  const { at } = iommu_ioas_copy
  const { ctx } = ucmd
  const pieces = collectPieces(source.iopt, ucmd.hi(at.src_iova), ucmd.lo(at.src_iova), request)
  if (typeof pieces === 'number') return pieces
  const destination = ctx.find(ucmd.word(at.dst_ioas_id), IOAS)
  const rc = destination === undefined ? -ENOENT : mapPieces(destination.iopt, pieces, request)
  releasePieces(source.iopt, pieces)
  return rc
}

function unmapChosen(ucmd: Ucmd, iopt: IoPagetable): number {
  const { at } = iommu_ioas_unmap
  const { refusals } = ucmd.ctx.engine
  const hi = ucmd.hi(at.iova)
  const lo = ucmd.lo(at.iova)
  const lengthHi = ucmd.hi(at.length)
  const lengthLo = ucmd.lo(at.length)
  if (isTop(ucmd, at.iova) || isTop(ucmd, at.length)) {
    return refusals.refuse(RANGE_AT_TOP, hi, lo, lengthHi, lengthLo)
  }
  if (lengthHi === 0 && lengthLo === 0) return refusals.refuse(LENGTH_ZERO, hi, lo)
  const lengthM1Hi = previousHi(lengthHi, lengthLo)
  const lengthM1Lo = previousLo(lengthLo)
  if (sumWraps(hi, lo, lengthM1Hi, lengthM1Lo)) {
    return refusals.refuse(IOVA_WRAPS, hi, lo, lengthHi, lengthLo)
  }
  const lastHi = sumHi(hi, lo, lengthM1Hi, lengthM1Lo)
  const rc = unmapRange(iopt, hi, lo, lastHi, (lo + lengthM1Lo) | 0)
  if (rc < 0) return rc
  if (iopt.unmappedHi !== 0 || iopt.unmappedLo !== 0) return 0
  return refusals.refuse(NOTHING_MAPPED, hi, lo, lengthHi, lengthLo)
}

/** What MAP and MAP_FILE check of their struct before they look at the address space. */
function checkMap(
  ucmd: Ucmd,
  flagsAt: number,
  reserved: number,
  iovaAt: number,
  lengthAt: number,
): number {
  const { refusals } = ucmd.ctx.engine
  const flags = ucmd.word(flagsAt)
  if ((flags & ~KNOWN_FLAGS) !== 0) return refusals.refuse(FLAGS_UNKNOWN, flags, KNOWN_FLAGS)
  if (reserved !== 0) return refusals.refuse(RESERVED_NOT_ZERO, reserved)
  if (isTop(ucmd, iovaAt) || isTop(ucmd, lengthAt)) return refuseTop(ucmd, iovaAt, lengthAt)
  return checkPermission(ucmd, flags)
}

function checkCopy(ucmd: Ucmd): number {
  const { at } = iommu_ioas_copy
  const { refusals } = ucmd.ctx.engine
  const flags = ucmd.word(at.flags)
  if ((flags & ~KNOWN_FLAGS) !== 0) return refusals.refuse(FLAGS_UNKNOWN, flags, KNOWN_FLAGS)
  if (isTop(ucmd, at.src_iova)) return refuseTop(ucmd, at.src_iova, at.length)
  if (isTop(ucmd, at.dst_iova) || isTop(ucmd, at.length)) {
    return refuseTop(ucmd, at.dst_iova, at.length)
  }
  return checkPermission(ucmd, flags)
}

function checkPermission(ucmd: Ucmd, flags: number): number {
  if ((flags & (IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE)) !== 0) return 0
  return ucmd.ctx.engine.refusals.refuse(NO_PERMISSION_ASKED)
}

function refuseTop(ucmd: Ucmd, iovaAt: number, lengthAt: number): number {
  const { refusals } = ucmd.ctx.engine
  const hi = ucmd.hi(lengthAt)
  return refusals.refuse(RANGE_AT_TOP, ucmd.hi(iovaAt), ucmd.lo(iovaAt), hi, ucmd.lo(lengthAt))
}

function readRequest(ucmd: Ucmd, flagsAt: number, iovaAt: number, lengthAt: number): void {
  const flags = ucmd.word(flagsAt)
  request.isFixed = (flags & IOMMU_IOAS_MAP_FIXED_IOVA) !== 0
  request.prot =
    ((flags & IOMMU_IOAS_MAP_READABLE) !== 0 ? AREA_READ : 0) |
    ((flags & IOMMU_IOAS_MAP_WRITEABLE) !== 0 ? AREA_WRITE : 0)
  request.iovaHi = ucmd.hi(iovaAt)
  request.iovaLo = ucmd.lo(iovaAt)
  request.lengthHi = ucmd.hi(lengthAt)
  request.lengthLo = ucmd.lo(lengthAt)
}

function isTop(ucmd: Ucmd, at: number): boolean {
  return ucmd.hi(at) === -1 && ucmd.lo(at) === -1
}

function isZero(ucmd: Ucmd, at: number): boolean {
  return ucmd.hi(at) === 0 && ucmd.lo(at) === 0
}
