import type { Linked } from '../internal/linked-list.js';
import type { Message } from './message.js';

/** A publish that waits for room. */
export class PendingPublish implements Linked {
  list: object | undefined;
  before: Linked | undefined;
  after: Linked | undefined;
  readonly promise: Promise<void>;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort: () => void;
  #resolve!: () => void;
  #reject!: (error: unknown) => void;

  constructor(
    readonly message: Message,
    /** When it may be delivered, in milliseconds since the epoch; undefined without a delay. */
    readonly due: number | undefined,
    signal: AbortSignal | undefined,
    onAbort: (self: PendingPublish) => void,
  ) {
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#signal = signal;
    this.#onAbort = () => {
      onAbort(this);
      this.reject(signal?.reason);
    };
    signal?.addEventListener('abort', this.#onAbort);
  }

  /** The queue has taken the message; returns how to say so. */
  admitted(): () => void {
    this.#unlisten();
    return this.#resolve;
  }

  reject(error: unknown): void {
    this.#unlisten();
    this.#reject(error);
  }

  #unlisten(): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
  }
}
