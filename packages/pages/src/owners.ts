// SPDX-License-Identifier: Apache-2.0
/**
 * Who mapped, and is therefore charged: a process, its address space and its user at that moment.
 *
 * Invariant: an owner keeps naming the same three whatever becomes of the process; an owner that no
 * `pages` refers to is forgotten. Equal triples have one number, so that a record needs only that.
 */
import type { Mm, Task, User } from '@iommufd/host'

export interface Owner {
  readonly task: Task
  readonly mm: Mm
  readonly user: User
  /** `pages` that name this owner. */
  users: number
}

export class OwnerTable {
  readonly #owners: (Owner | undefined)[] = []
  readonly #free: number[] = []
  #recent = -1

  /** The number of the task's present triple, with one more user. */
  get(task: Task): number {
    let number = this.#recent
    if (number < 0 || !isOwner(this.#owners[number], task)) {
      number = this.#find(task)
      this.#recent = number
    }
    this.owner(number).users++
    return number
  }

  owner(number: number): Owner {
    return this.#owners[number] as Owner
  }

  put(number: number): void {
    const owner = this.owner(number)
    if (--owner.users > 0 || number === this.#recent) return
    this.#owners[number] = undefined
    this.#free.push(number)
  }

  #find(task: Task): number {
    this.#forgetRecent()
    const found = this.#owners.findIndex((owner) => isOwner(owner, task))
    if (found >= 0) return found
    const number = this.#free.pop() ?? this.#owners.length
    this.#owners[number] = { task, mm: task.mm, user: task.user, users: 0 }
    return number
  }

  /** The most recent owner is kept without users, for the next mapping; until another comes. */
  #forgetRecent(): void {
    const number = this.#recent
    this.#recent = -1
    if (number >= 0 && this.owner(number).users === 0) {
      this.#owners[number] = undefined
      this.#free.push(number)
    }
  }
}

/** Whether the owner is just what the task is now. */
export function isOwner(owner: Owner | undefined, task: Task): boolean {
  return (
    owner !== undefined && owner.task === task && owner.mm === task.mm && owner.user === task.user
  )
}
