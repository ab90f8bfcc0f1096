import { AckPolicy, type ConsumerInfo, DeliverPolicy } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import type { NatsLink } from './link.js';

/** How long the server keeps an unused counting consumer, in milliseconds. A count within that time reuses it. */
export const COUNTER_KEPT = 2000;

/** What the name of a counting consumer begins with. No group has such a name. */
const COUNTER = 'count~';

/** Whether a consumer only counts, and is gone soon. */
export function isCounter({ name }: ConsumerInfo): boolean {
  return name.startsWith(COUNTER);
}

/**
 * Counts the messages that a stream holds from a place on, on some subjects. Resolves to undefined if the server refuses to count them.
 * @param title tells counts from the same place apart
 */
export async function countFrom(
  link: NatsLink,
  stream: string,
  first: number,
  subjects: string,
  title: string,
): Promise<number | undefined> {
  // A consumer that is there already answers with its count of now.
  const name = `${COUNTER}${first}~${title}`;
  const config = {
    name,
    filter_subject: subjects,
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: first,
    ack_policy: AckPolicy.None,
    inactive_threshold: nanos(COUNTER_KEPT),
    mem_storage: true,
  };
  // The client would name the filter in the subject of the request, which takes another permission.
  const answer = await link.request(
    `${link.api}.CONSUMER.CREATE.${stream}.${name}`,
    JSON.stringify({ stream_name: stream, config }),
  );
  return answer.json<{ readonly num_pending?: number }>().num_pending;
}
