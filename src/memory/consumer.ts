import type { QueueKey, QueuePayload } from '../backend.js';
import type { Linked } from '../internal/linked-list.js';
import type { Details } from './message-buffer.js';

/** Somebody who takes messages of a group, one at a time, in turn with the others. */
export interface Consumer extends Linked {
  /** It takes nothing of a message but the payload, and runs nobody's code when it does. */
  readonly payloadOnly: boolean;

  /** How many messages it could take one after the other. Of those in line at least 1. */
  readonly credit: number;

  /**
   * A message, which is out from now on. The consumer has left the line for it; it joins again when it can take another one. What it throws fails
   * nobody else.
   */
  take(key: QueueKey, payload: QueuePayload, details: Details, place: number): void;

  /** The queue is closed, and nothing will come any more. */
  end(): void;
}
