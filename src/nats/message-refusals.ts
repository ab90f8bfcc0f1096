import { Refusals, type RefusalsOptions } from '../core/refusals.js';

/** Refusals of several messages. They end when none of the messages is refused any more: one may be refused while others are stored. */
export class MessageRefusals {
  readonly #refusals: Refusals;
  readonly #forgetAfter: number;
  /** When each message was refused last, by the clock of `performance`. */
  readonly #refused = new Map<string, number>();

  /** @param forgetAfter a message that is not tried again within so many milliseconds is with another process */
  constructor(options: RefusalsOptions & { readonly forgetAfter: number }) {
    this.#refusals = new Refusals(options);
    this.#forgetAfter = options.forgetAfter;
  }

  /** @param what identifies the message, or the request */
  add(what: string, error: unknown): void {
    this.#refused.set(what, performance.now());
    this.#refusals.add(error);
  }

  accepted(what: string): void {
    if (this.#refused.size === 0) return;
    this.#refused.delete(what);
    const stale = performance.now() - this.#forgetAfter;
    for (const [one, at] of this.#refused) if (at < stale) this.#refused.delete(one);
    if (this.#refused.size === 0) this.#refusals.end();
  }
}
