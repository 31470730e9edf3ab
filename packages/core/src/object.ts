// SPDX-License-Identifier: Apache-2.0
/**
 * Objects of a context: what has an id that user space can name (SPEC F6, F7, F9, section 1).
 *
 * Invariant: `users` counts who depends on the object; an object with users is busy and outlives
 * them. `destroy` of an object without users never fails.
 */

/** A kind of object; `name` is what refusals call it. */
export interface ObjectType<T extends IommufdObject = IommufdObject> {
  readonly name: string
  /** narrows an object of any kind to this one */
  is(object: IommufdObject): object is T
}

/** Base of every object. */
export abstract class IommufdObject {
  /** What it is, for refusals: `IOAS`, `ACCESS`, … */
  abstract readonly typeName: string
  /** Id in its context, from 1; 0 before it has one and after its end. */
  id = 0
  /** Who depends on it. While this is not 0, destroying it is refused with EBUSY. */
  users = 0

  /** Releases what the object holds. Called once, with no users left; never fails. */
  abstract destroy(): void
}
