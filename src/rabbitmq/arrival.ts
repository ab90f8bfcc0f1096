import type { Settled } from '../core/delivery.js';
import type { OwnReleases } from '../core/own-releases.js';
import type { Delivered, GroupChannel } from './group-channel.js';
import { comparePlaces, hasOwnId, type Place, type Received } from './message.js';

/** What the broker has delivered here. */
export interface Arrival extends Delivered {
  /** Undefined: it is no message of ours. */
  readonly received?: Received;
}

/** A message that the broker has delivered here. */
export interface MessageArrival extends Delivered {
  readonly received: Received;
  readonly place: Place;
  /** On which it was delivered, and has to be settled. */
  readonly channel: GroupChannel<Arrival>;
}

/** A message that has come; its attempt does not count what was given back here. */
export function arrivalOf(channel: GroupChannel<Arrival>, received: Received, released: OwnReleases): MessageArrival {
  const { message, place, original } = received;
  const attempt = Math.max(1, message.attempt - released.of(keyOf(place)));
  const uncounted = attempt === message.attempt ? received : { ...received, message: { ...message, attempt } };
  return { received: uncounted, tag: original.deliveryTag, place, isFirst: message.attempt === 1, channel };
}

/** Notes what becomes of a message, for the count of its next delivery. */
export function noteSettled(released: OwnReleases, { place }: MessageArrival, how: Settled, delay = 0): void {
  if (how === 'released') released.add(keyOf(place));
  // What is sent again begins to count anew, from the attempt that it carries.
  else if (how !== 'retried' || delay > 0) released.delete(keyOf(place));
}

function keyOf({ id, time }: Place): string {
  return `${id} ${time}`;
}

/** Whether two messages with one id are copies of one message: the publisher sends a message again if the broker's confirm is lost, and it may be stored twice. */
export function isSame(one: Received, other: Received): boolean {
  return (
    hasOwnId(one) &&
    one.place.time === other.place.time &&
    (one.original.body as Buffer).equals(other.original.body as Buffer)
  );
}

/** Whether messages in the order of their delivery are in that of their places too. Those that are delivered for the first time are, whatever the clocks of their publishers say. */
export function isInOrder(arrivals: readonly MessageArrival[]): boolean {
  const delivered = arrivals.toSorted((one, other) => one.tag - other.tag);
  if (delivered.every(({ isFirst }) => isFirst)) return true;
  return delivered.every(
    (arrival, index) =>
      index === 0 || comparePlaces((delivered[index - 1] as MessageArrival).place, arrival.place) <= 0,
  );
}
