import { Refusals, type RefusalsOptions } from '../core/refusals.js';

/** Logs refusals of several messages. They end when no message is refused any more. */
export class MessageRefusals {
  readonly #refusals: Refusals;
  readonly #forgetAfter: number;
  /** When each message was last refused, as `performance.now()`. */
  readonly #refused = new Map<string, number>();

  /** @param options `forgetAfter`: when another process has a message, in milliseconds */
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
    for (const [other, at] of this.#refused) if (at < stale) this.#refused.delete(other);
    if (this.#refused.size === 0) this.#refusals.end();
  }
}
