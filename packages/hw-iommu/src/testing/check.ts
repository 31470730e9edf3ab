// SPDX-License-Identifier: Apache-2.0
/**
 * Checks of drivers: what one is, and what it says (SPEC section 8).
 *
 * Invariant: every check runs on a machine of its own, so checks can be run in any order, alone, and
 * by any test runner or by none. A driver that throws has failed the check.
 */
import type { Device, Iommu, IommuOps } from '../index.js'
import { broken, ContractBroken } from './broken.js'
import { Rig } from './rig.js'

/** What a check needs to know of the driver: how to make it, and which devices it serves. */
export interface DriverUnderTest {
  /** A new driver for the IOMMUs of a new machine. It is registered afterwards. */
  readonly makeDriver: (iommu: Iommu) => IommuOps
  /**
   * A new device that the driver serves, not added yet. `group`: devices with the same number share
   * a group, all others do not.
   */
  readonly makeDevice: (name: string, group: number) => Device
  /** Whether `makeDevice` can put devices into one group. Default false. */
  readonly sharesGroups?: boolean
  /**
   * The domain that the driver lets the device use without a PASID: what the device would do DMA
   * through. Without it only what the group says is checked.
   */
  readonly domainOf?: (dev: Device) => unknown
  /**
   * From now on the device refuses every paging domain that it does not use already, or, with
   * `refuses` false, none. Without it going back after a refusal is not checked.
   */
  readonly setRefusing?: (dev: Device, refuses: boolean) => void
  /** A new device with a region of the type IOMMU_RESV_DIRECT; no other device may have one. */
  readonly makeDirectDevice?: (name: string) => Device
  /** Data for IOMMU_HWPT_ALLOC with which the driver makes a nested domain. */
  readonly nested?: { readonly type: number; readonly data: Uint8Array }
}

/** One rule of the contract between iommufd and a driver. */
export interface DriverCheck {
  /** Stable. */
  readonly name: string
  /** The rule, in a sentence. */
  readonly rule: string
  readonly run: (rig: Rig) => NotOffered | undefined
}

/** Why a check has nothing to look at: the driver does not offer what it is about. */
export class NotOffered {
  readonly reason: string

  constructor(reason: string) {
    this.reason = reason
  }
}

export interface CheckResult {
  readonly name: string
  readonly rule: string
  readonly outcome: 'passed' | 'failed' | 'not offered'
  /** What was found, with addresses and numbers, or what is not offered; empty when it passed. */
  readonly sentence: string
}

/** Runs one check on a new machine; never throws. */
export function runCheck(check: DriverCheck, subject: DriverUnderTest): CheckResult {
  const { name, rule } = check
  try {
    const rig = new Rig(subject)
    const notOffered = check.run(rig)
    const [warning] = rig.warnings
    if (warning !== undefined) broken(`the engine warned: ${warning}`)
    if (notOffered === undefined) return { name, rule, outcome: 'passed', sentence: '' }
    return { name, rule, outcome: 'not offered', sentence: notOffered.reason }
  } catch (error) {
    return { name, rule, outcome: 'failed', sentence: sentenceOf(error) }
  }
}

function sentenceOf(error: unknown): string {
  if (error instanceof ContractBroken) return error.message
  return `an exception came out: ${error instanceof Error ? error.message : String(error)}`
}
