// SPDX-License-Identifier: Apache-2.0
/**
 * Ids of objects: the lowest free number from 1 (SPEC F6).
 *
 * Invariant: every id below `next` is either in use or in the heap of freed ids; so the lowest free
 * id is the heap's root, or `next` when the heap is empty. Allocating and freeing cost O(log n).
 */
export class IdAllocator {
  #next = 1
  #free = new Int32Array(16)
  #freeCount = 0

  /** Takes the lowest free id (1 to 2^31 - 1). */
  allocate(): number {
    return this.#freeCount === 0 ? this.#next++ : this.#popLowest()
  }

  /** Gives an id back; it must be in use. */
  release(id: number): void {
    if (this.#freeCount === this.#free.length) this.#grow()
    const heap = this.#free
    let at = this.#freeCount++
    while (at > 0) {
      const parent = (at - 1) >> 1
      const parentId = heap[parent] as number
      if (parentId <= id) break
      heap[at] = parentId
      at = parent
    }
    heap[at] = id
  }

  #popLowest(): number {
    const heap = this.#free
    const lowest = heap[0] as number
    const moved = heap[--this.#freeCount] as number
    let at = 0
    for (;;) {
      const child = this.#lowerChild(at)
      if (child < 0 || (heap[child] as number) >= moved) break
      heap[at] = heap[child] as number
      at = child
    }
    heap[at] = moved
    return lowest
  }

  #lowerChild(at: number): number {
    const left = 2 * at + 1
    if (left >= this.#freeCount) return -1
    const right = left + 1
    const heap = this.#free
    return right < this.#freeCount && (heap[right] as number) < (heap[left] as number)
      ? right
      : left
  }

  #grow(): void {
    const grown = new Int32Array(this.#free.length * 2)
    grown.set(this.#free)
    this.#free = grown
  }
}
