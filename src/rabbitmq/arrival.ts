import type { Disposition } from '../core/base-delivery.js';
import type { OwnReleases } from '../core/own-releases.js';
import type { Delivered, GroupChannel } from './group-channel.js';
import { comparePlaces, hasOwnId, type Place, type Received } from './message.js';

/** A delivery of the broker. */
export interface Arrival extends Delivered {
  /** Undefined: it is no message of Sluice. */
  readonly received?: Received;
}

/** A delivered message. */
export interface MessageArrival extends Delivered {
  readonly received: Received;
  readonly place: Place;
  /** The channel that delivered it, and that settles it. */
  readonly channel: GroupChannel<Arrival>;
}

/** Reads a delivery. Its attempt does not count the releases of this process. */
export function arrivalOf(channel: GroupChannel<Arrival>, received: Received, released: OwnReleases): MessageArrival {
  const { message, place, original } = received;
  const attempt = Math.max(1, message.attempt - released.of(keyOf(place)));
  const uncounted = attempt === message.attempt ? received : { ...received, message: { ...message, attempt } };
  return { received: uncounted, tag: original.deliveryTag, place, isFirst: message.attempt === 1, channel };
}

/** Notes how a message was settled, for the attempt of its next delivery. */
export function noteSettled(
  released: OwnReleases,
  { place }: MessageArrival,
  { action, isCounted, delay }: Disposition,
): void {
  if (!isCounted) released.add(keyOf(place));
  // The broker counts the deliveries of a copy from 0.
  else if (action !== 'requeue' || delay > 0) released.delete(keyOf(place));
}

function keyOf({ id, time }: Place): string {
  return `${id} ${time}`;
}

/**
 * Whether two deliveries with one id are of the same message. The publisher sends a message again
 * if its confirm was lost, so the broker may have stored it twice.
 */
export function isSame(one: Received, other: Received): boolean {
  return (
    hasOwnId(one) &&
    one.place.time === other.place.time &&
    (one.original.body as Buffer).equals(other.original.body as Buffer)
  );
}

/**
 * Whether messages were delivered in the order of their places. First deliveries always are,
 * whatever the clocks of their publishers say.
 */
export function isInOrder(arrivals: readonly MessageArrival[]): boolean {
  const delivered = arrivals.toSorted((one, other) => one.tag - other.tag);
  if (delivered.every(({ isFirst }) => isFirst)) return true;
  return delivered.every(
    (arrival, index) =>
      index === 0 || comparePlaces((delivered[index - 1] as MessageArrival).place, arrival.place) <= 0,
  );
}
