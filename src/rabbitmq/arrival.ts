import type { Delivered } from './group-channel.js';
import { comparePlaces, type Place, type Received } from './message.js';

/** What the broker has delivered here. */
export interface Arrival extends Delivered {
  /** Undefined: it is no message of ours. */
  readonly received?: Received;
}

/** A message that the broker has delivered here. */
export interface MessageArrival extends Delivered {
  readonly received: Received;
  readonly place: Place;
}

/** Whether two messages of one id are one. */
export function isSame(one: Received, other: Received): boolean {
  return one.place.time === other.place.time && (one.original.body as Buffer).equals(other.original.body as Buffer);
}

/** Whether messages in the order of their delivery are in that of their places too. */
export function isInOrder(arrivals: readonly MessageArrival[]): boolean {
  const delivered = arrivals.toSorted((one, other) => one.tag - other.tag);
  return delivered.every((arrival, index) => index === 0 || comparePlaces((delivered[index - 1] as MessageArrival).place, arrival.place) <= 0);
}
