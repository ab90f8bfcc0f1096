import type { Linked } from '../internal/linked-list.js';
import { onAbort } from '../internal/on-abort.js';
import type { Message } from './message.js';

/** A publish that waits for room. */
export class PendingPublish implements Linked {
  list: object | undefined;
  before: Linked | undefined;
  after: Linked | undefined;
  readonly promise: Promise<void>;
  readonly #ignoreAbort: () => void;
  #resolve!: () => void;
  #reject!: (error: unknown) => void;

  constructor(
    readonly message: Message,
    /** When it may be delivered, in milliseconds since the epoch; undefined without a delay. */
    readonly due: number | undefined,
    signal: AbortSignal | undefined,
    onGivenUp: () => void,
  ) {
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#ignoreAbort = onAbort(signal, () => {
      onGivenUp();
      this.#reject(signal?.reason);
    });
  }

  /** The queue has taken the message; returns how to say so. */
  admitted(): () => void {
    this.#ignoreAbort();
    return this.#resolve;
  }

  reject(error: unknown): void {
    this.#ignoreAbort();
    this.#reject(error);
  }
}
