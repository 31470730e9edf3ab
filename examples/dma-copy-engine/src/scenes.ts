// SPDX-License-Identifier: Apache-2.0
/** What the example shows: a copy, and two that are stopped. */
import type { DmaFault } from '@iommufd/hw-iommu'
import { IommuClient } from 'iommufd'
import { Board } from './board.js'
import { CopyDriver, type CopyError } from './copy-driver.js'

const LENGTH = 10_000
const BUFFER = 0x4000

/** Plays all scenes and tells what happens, line by line. */
export function play(tell: (line: string) => void): void {
  const board = new Board()
  const { copyEngine, machine } = board
  const program = machine.spawn()
  const client = new IommuClient(board.engine, program)
  const ioas = client.ioasAlloc()
  board.attach(client, ioas.id)
  const driver = new CopyDriver(program, ioas, copyEngine)

  const source = driver.allocate(BUFFER, 'read')
  const target = driver.allocate(BUFFER)
  program.store(source.address, sample())
  let waits = 0
  const wait = (): void => {
    waits++
    copyEngine.step()
  }
  const copied = driver.copy(source, target, LENGTH, wait)
  const arrived = String(program.load(target.address, LENGTH)) === String(sample())
  tell(`copy ${LENGTH} bytes: ${outcome(copied)}, after ${waits} steps of the device`)
  tell(`the target has the bytes of the source: ${arrived}`)

  tell(
    `copy into a buffer that the device may only read: ${outcome(driver.copy(target, source, 64, wait))}`,
  )
  for (const fault of copyEngine.dma.takeFaults()) tell(describe(fault))

  driver.unmap(source)
  tell(`copy from a buffer that was unmapped: ${outcome(driver.copy(source, target, 64, wait))}`)
  for (const fault of copyEngine.dma.takeFaults()) tell(describe(fault))
}

function sample(): Uint8Array {
  return Uint8Array.from({ length: LENGTH }, (_, i) => (i * 7) & 255)
}

function outcome(error: CopyError | undefined): string {
  return error === undefined ? 'done' : `error while ${error.doing} 0x${error.iova.toString(16)}`
}

/** A fault record of the IOMMU. */
function describe({ device, direction, iova, reason }: DmaFault): string {
  return `  fault record: device ${device.name}, ${direction} of 0x${iova.toString(16)}, ${reason}`
}
