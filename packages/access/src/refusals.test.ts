// SPDX-License-Identifier: Apache-2.0
//
// Every refusal of the access layer is reached by a call. What holds for all refusals is tested where all are known.

import { describe, expect, test } from 'vitest'
import readme from '../README.md?raw'
import { allocIoas, type Booted, boot, newAccess, type Pins, pinOps } from '../test/harness.js'
import {
  accessRefusals,
  iommufd_access_attach,
  iommufd_access_detach,
  iommufd_access_pin_pages,
  iommufd_access_rw,
  iommufd_ctx_from_fd,
} from './index.js'

const frames = new Uint32Array(1)

function attachWhileLeaving(booted: Booted): number {
  let ret = 0
  const ioas = allocIoas(booted)
  const unmap = ({ access }: Pins): void => {
    ret = iommufd_access_attach(access, ioas)
  }
  iommufd_access_detach(newAccess(booted, ioas, { unmap }).access)
  return ret
}

/** A call that each site refuses. */
const provoked: Record<keyof typeof accessRefusals, (booted: Booted) => unknown> = {
  ACCESS_LENGTH_ZERO: (booted) =>
    iommufd_access_rw(newAccess(booted).access, 0, new Uint8Array(0), 0),
  ACCESS_RANGE_WRAPS: (booted) =>
    iommufd_access_rw(newAccess(booted).access, 2n ** 64n - 1n, new Uint8Array(2), 0),
  ACCESS_NOT_ATTACHED: (booted) =>
    iommufd_access_rw(newAccess(booted).access, 0, new Uint8Array(2), 0),
  ACCESS_ATTACHED_ALREADY: (booted) => {
    const ioas = allocIoas(booted)
    return iommufd_access_attach(newAccess(booted, ioas, pinOps).access, ioas)
  },
  ACCESS_LEAVING: attachWhileLeaving,
  ACCESS_WITHOUT_PINNING: (booted) =>
    iommufd_access_pin_pages(newAccess(booted, undefined, {}).access, 0, 1, frames, 0),
  FILE_IS_NO_IOMMUFD: ({ engine, process }) => iommufd_ctx_from_fd(engine, process, 0),
  FD_IS_NOT_OPEN: ({ engine, process }) => iommufd_ctx_from_fd(engine, process, 99),
}

describe('every refusal', () => {
  test.each(Object.values(accessRefusals))('$id is reached by a call', ({ id, errno }) => {
    const booted = boot()
    expect(provoked[id as keyof typeof provoked](booted)).toBe(-errno)
    expect(booted.engine.refusals.last?.id).toBe(id)
  })

  test('stands in the README, and nothing else does', () => {
    const rows = [...readme.matchAll(/^\| `([A-Z_0-9]+)` \|.*$/gm)].map((match) => match[0])
    const booted = boot()
    const expected = Object.values(accessRefusals).map((site) => {
      booted.engine.refusals.refuse(site)
      const { errnoName, spec } = booted.engine.refusals.last ?? {}
      return `| \`${site.id}\` | ${errnoName} | ${spec} | ${site.sentence} |`
    })
    expect(rows.sort()).toEqual(expected.sort())
  })
})
