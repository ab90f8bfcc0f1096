import { randomBytes } from 'node:crypto';

const FORMAT = /^[0-9a-f]{16}-\d+$/;

/** Creates the ids of the messages of one publisher. */
export class MessageIds {
  /** Unique among all publishers. */
  readonly #name = randomBytes(8).toString('hex');
  #number = 0;

  next(): string {
    return `${this.#name}-${++this.#number}`;
  }
}

/**
 * Whether a publisher of this library created the id, which is unique then. Other programs may
 * reuse an id.
 */
export function isOwnId(id: string): boolean {
  return FORMAT.test(id);
}
