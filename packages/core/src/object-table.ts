// SPDX-License-Identifier: Apache-2.0
/**
 * The objects of one context by id.
 *
 * Invariant: an id is visible only between `finalize` and the object's end; a reserved id that is
 * not final is invisible (SPEC F7, F9). Closing destroys leaves until nothing is left, so that
 * every object is destroyed after all that depend on it.
 */
import { IdAllocator } from './id-allocator.js'
import type { IommufdObject } from './object.js'

export class ObjectTable {
  readonly #ids = new IdAllocator()
  readonly #objects: (IommufdObject | undefined)[] = []
  #reserved = 0
  #tombstones = 0
  #count = 0

  /** Objects that are visible. */
  get count(): number {
    return this.#count
  }

  /** Whether no id is in use: visible, reserved, or a tombstone. */
  get isEmpty(): boolean {
    return this.#count === 0 && this.#reserved === 0 && this.#tombstones === 0
  }

  /** Gives the object the lowest free id, still invisible. */
  reserve(object: IommufdObject): void {
    object.id = this.#ids.allocate()
    this.#reserved++
  }

  /** Makes a reserved object visible. */
  finalize(object: IommufdObject): void {
    this.#objects[object.id] = object
    this.#reserved--
    this.#count++
  }

  /** Gives a reserved id back; the object was never visible. */
  abort(object: IommufdObject): void {
    this.#ids.release(object.id)
    this.#reserved--
    object.id = 0
  }

  /** The visible object with this id (an int32; the kernel's u32 ids above 2^31 never exist). */
  get(id: number): IommufdObject | undefined {
    return id > 0 && id < this.#objects.length ? this.#objects[id] : undefined
  }

  /** Takes an object out and destroys it; it must have no users. */
  remove(object: IommufdObject): void {
    this.#objects[object.id] = undefined
    this.#ids.release(object.id)
    this.#count--
    object.destroy()
    object.id = 0
  }

  /**
   * As `remove`, but leaves a tombstone: the id is nobody's and never given again. For objects that
   * end by themselves, so that a program does not meet another one under the id that it knows.
   */
  tombstone(object: IommufdObject): void {
    this.#objects[object.id] = undefined
    this.#count--
    this.#tombstones++
    object.destroy()
    object.id = 0
  }

  /** Destroys everything, leaves first. False when objects that hold each other are left. */
  removeAll(): boolean {
    while (this.#count > 0) {
      if (this.#removeLeaves() === 0) return false
    }
    return true
  }

  /** Visits the visible objects in the order of their ids. */
  *[Symbol.iterator](): IterableIterator<IommufdObject> {
    for (const object of this.#objects) if (object) yield object
  }

  #removeLeaves(): number {
    let removed = 0
    for (const object of this.#objects) {
      if (object === undefined || object.users !== 0) continue
      this.remove(object)
      removed++
    }
    return removed
  }
}
