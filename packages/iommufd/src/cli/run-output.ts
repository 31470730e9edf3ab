// SPDX-License-Identifier: Apache-2.0
// Where `iommufd run` writes while a program runs: standard error without buffering, or a file in large pieces. Node's own
// streams are not used, because they would change how the program finds its standard streams.

import { closeSync, openSync, writeSync } from 'node:fs'
import { InputError } from './input-error.js'

const PIECE = 1 << 16
const STDERR = 2

export class RunOutput {
  readonly #fd: number
  readonly #file: string | undefined
  #text = ''
  #problem: string | undefined

  /** @throws InputError when the file cannot be made */
  constructor(file: string | undefined) {
    this.#file = file
    try {
      this.#fd = file === undefined ? STDERR : openSync(file, 'w', 0o666)
    } catch (error) {
      throw new InputError(file ?? '', undefined, `cannot be written: ${(error as Error).message}`)
    }
  }

  line(text: string): void {
    this.#text += `${text}\n`
    if (this.#fd === STDERR || this.#text.length >= PIECE) this.flush()
  }

  flush(): void {
    // A program that reads our standard error slowly makes us wait: calls are told in order and whole.
    for (let bytes = Buffer.from(this.#text); bytes.length > 0; ) {
      try {
        bytes = bytes.subarray(writeSync(this.#fd, bytes))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') continue
        this.#problem ??= (error as Error).message
        break
      }
    }
    this.#text = ''
  }

  /** @returns what could not be written, and why; undefined when all is */
  close(): string | undefined {
    this.flush()
    if (this.#fd !== STDERR) closeSync(this.#fd)
    return this.#problem && `${this.#file ?? 'standard error'} is not complete: ${this.#problem}`
  }
}
