import type { Disposition } from '../core/base-delivery.js';
import type { OwnReleases } from '../core/own-releases.js';
import type { Delivered, GroupChannel } from './group-channel.js';
import { comparePlaces, hasOwnId, type Place, type Received } from './message.js';

/** A message that a channel has delivered, and on which it must be settled. */
export interface Arrival extends Delivered {
  readonly received: Received;
  readonly channel: GroupChannel;
}

/** Its attempt does not count the releases of this process. */
export function arrivalOf(channel: GroupChannel, received: Received, released: OwnReleases): Arrival {
  const { message, place, original } = received;
  const attempt = Math.max(1, message.attempt - released.of(keyOf(place)));
  const uncounted = attempt === message.attempt ? received : { ...received, message: { ...message, attempt } };
  return { received: uncounted, tag: original.deliveryTag, isFirst: message.attempt === 1, channel };
}

/** Notes how a message was settled, for the attempt of its next delivery. */
export function noteSettled(
  released: OwnReleases,
  { received: { place } }: Arrival,
  { action, isCounted, delay }: Disposition,
): void {
  if (!isCounted) released.add(keyOf(place));
  // The broker counts the deliveries of a copy from 0.
  else if (action !== 'requeue' || delay > 0) released.delete(keyOf(place));
}

function keyOf({ id, time }: Place): string {
  return `${id} ${time}`;
}

/** Whether a message was stored twice, because its publisher sent it again after a lost confirm. */
export function isDuplicate(one: Received, other: Received): boolean {
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
export function isInOrder(arrivals: readonly Arrival[]): boolean {
  if (arrivals.every(({ isFirst }) => isFirst)) return true;
  const places = arrivals.toSorted((one, other) => one.tag - other.tag).map(({ received }) => received.place);
  return places.every((place, index) => comparePlaces(places[index - 1] ?? place, place) <= 0);
}
