import backpressure from './backpressure.ts?raw';
import batches from './batches.ts?raw';
import competingConsumers from './competing-consumers.ts?raw';
import firstMessage from './first-message.ts?raw';
import gracefulShutdown from './graceful-shutdown.ts?raw';
import groups from './groups.ts?raw';
import lostConsumer from './lost-consumer.ts?raw';
import orderPerKey from './order-per-key.ts?raw';
import retries from './retries.ts?raw';
import virtualTime from './virtual-time.ts?raw';
import windows from './windows.ts?raw';

/** A program of the playground. */
export interface Example {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  /** TypeScript. */
  readonly code: string;
  /** Whether the playground offers it. */
  readonly listed: boolean;
}

function example(name: string, title: string, description: string, code: string, listed = true): Example {
  return { name, title, description, code, listed };
}

/** The examples of the playground and of the guides. */
export const examples: readonly Example[] = [
  example('first-message', 'First message', 'Publish messages, and handle each one until it is done.', firstMessage),
  example(
    'competing-consumers',
    'Competing consumers',
    'Several consumers share a queue: each message goes to the one that has a free slot.',
    competingConsumers,
  ),
  example(
    'backpressure',
    'Backpressure',
    'A full queue lets its publishers wait, and a consumer gets no more than its prefetch.',
    backpressure,
  ),
  example(
    'retries',
    'Retries and a dead letter',
    'A failed message is delivered again after a delay. What fails for good goes to another queue.',
    retries,
  ),
  example(
    'order-per-key',
    'Order per key',
    'Messages of one account are handled one after another, different accounts in parallel.',
    orderPerKey,
  ),
  example('groups', 'Groups', 'Each group gets every message, and works at its own pace.', groups),
  example('batches', 'Batches', 'Deliveries are collected, inserted together and settled together.', batches),
  example(
    'graceful-shutdown',
    'Graceful shutdown',
    'A consumer finishes what it handles, and releases the rest for another one.',
    gracefulShutdown,
  ),
  example(
    'windows',
    'A pipeline with windows',
    'Readings are settled, collected in windows of time, and published to another queue.',
    windows,
  ),
  example(
    'virtual-time',
    'Testing with virtual time',
    'A retry after a minute and a delay of an hour, in a test that takes no time.',
    virtualTime,
  ),
  example(
    'lost-consumer',
    'A lost consumer',
    'A consumer is gone with deliveries in flight. Another one gets them, as attempt 2.',
    lostConsumer,
    false,
  ),
];
