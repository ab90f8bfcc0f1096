import { setTimeout as sleep } from 'node:timers/promises';
import type { ConsumerConfig, ConsumerInfo } from '@nats-io/jetstream';
import type { JetStreamApi } from './api.js';
import { COUNTER_KEPT, isCounter } from './counters.js';
import { isConsumerLimit, isForbidden } from './nats-errors.js';

/** How often, and after what pause in milliseconds, a consumer is tried again. A server of a cluster deletes an unused consumer up to a second late. */
const PAUSE = 250;
const TRIES = Math.ceil((COUNTER_KEPT + 2000) / PAUSE);

/** Creates a consumer. If the stream has as many as it may have, waits until the server has deleted those that only count. */
export async function addConsumer(
  manager: JetStreamApi,
  stream: string,
  config: Partial<ConsumerConfig>,
): Promise<ConsumerInfo> {
  let wasCounting = true;
  for (let tried = 1; ; tried++) {
    try {
      return await manager.consumers.add(stream, config);
    } catch (error) {
      if (!isConsumerLimit(error) || tried === TRIES || !wasCounting) throw error;
      // If there are none, they may have gone after the refusal: it is tried once more.
      wasCounting = await hasCounters(manager, stream);
      if (wasCounting) await sleep(PAUSE);
    }
  }
}

async function hasCounters({ consumers }: JetStreamApi, stream: string): Promise<boolean> {
  try {
    return (await consumers.list(stream)).some(isCounter);
  } catch (error) {
    if (isForbidden(error)) return false;
    throw error;
  }
}
