import { setTimeout as sleep } from 'node:timers/promises';
import { AckPolicy, type ConsumerConfig, type ConsumerInfo, DeliverPolicy } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import type { JetStreamApi } from './api.js';
import type { NatsLink } from './link.js';
import { isConsumerLimit, isForbidden } from './nats-errors.js';

/** After what time without use the server deletes a counter, in milliseconds. */
const COUNTER_EXPIRES = 2000;

/** The prefix of the name of a counter. No group has such a name. */
const COUNTER = 'count~';

/** The pause between two attempts to add a consumer, in milliseconds. */
const PAUSE = 250;

/** A server of a cluster deletes an unused consumer up to a second late. */
const MAX_ATTEMPTS = Math.ceil((COUNTER_EXPIRES + 2000) / PAUSE);

/**
 * Counts messages with a consumer that never pulls. Resolves to undefined if the server refuses.
 * @param title distinguishes counters that begin at the same message
 */
export async function countFrom(
  link: NatsLink,
  stream: string,
  first: number,
  subjects: string,
  title: string,
): Promise<number | undefined> {
  // If the consumer exists, the server responds with its current count.
  const name = `${COUNTER}${first}~${title}`;
  const config = {
    name,
    filter_subject: subjects,
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: first,
    ack_policy: AckPolicy.None,
    inactive_threshold: nanos(COUNTER_EXPIRES),
    mem_storage: true,
  };
  // The client would put the filter into the subject, which requires another permission.
  const response = await link.request(
    `${link.api}.CONSUMER.CREATE.${stream}.${name}`,
    JSON.stringify({ stream_name: stream, config }),
  );
  return response.json<{ readonly num_pending?: number }>().num_pending;
}

/** Adds a consumer. If the stream has its maximum, waits until the server deletes the counters. */
export async function addConsumer(
  manager: JetStreamApi,
  stream: string,
  config: Partial<ConsumerConfig>,
): Promise<ConsumerInfo> {
  let hadCounters = true;
  for (let attempt = 1; ; attempt++) {
    try {
      return await manager.consumers.add(stream, config);
    } catch (error) {
      if (!isConsumerLimit(error) || attempt === MAX_ATTEMPTS || !hadCounters) throw error;
      // The server may have deleted the last one after its refusal: one more attempt follows.
      hadCounters = await hasCounters(manager, stream);
      if (hadCounters) await sleep(PAUSE);
    }
  }
}

async function hasCounters({ consumers }: JetStreamApi, stream: string): Promise<boolean> {
  try {
    return (await consumers.list(stream)).some(({ name }) => name.startsWith(COUNTER));
  } catch (error) {
    if (isForbidden(error)) return false;
    throw error;
  }
}
