import { randomBytes } from 'node:crypto';

const FORMAT = /^[0-9a-f]{16}-\d+$/;

/** Makes the ids of the messages of one publisher. */
export class MessageIds {
  /** Sixteen characters that no other publisher has. */
  readonly #name = randomBytes(8).toString('hex');
  #number = 0;

  next(): string {
    return `${this.#name}-${++this.#number}`;
  }
}

/** Whether a publisher of this library has made an id, so that no other message has it. Another program may give one id to many messages. */
export function isOwnId(id: string): boolean {
  return FORMAT.test(id);
}
