import { AsyncLoopConsumer, type Outcome, type QueueBackend } from 'sluice';
import { eventually } from '../../support/eventually.js';
import { silentLogger } from '../../support/recording-logger.js';

const MESSAGES = 200;
const RESTARTS = 40;

/** Runs a consumer with default options and stops it while a handler runs. */
async function runAndStop(queue: QueueBackend): Promise<void> {
  const consumer = new AsyncLoopConsumer(queue, { logger: silentLogger });
  let started = false;
  const running = consumer.run((_payload, _delivery, { signal }) => {
    started = true;
    return new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
  });
  await eventually(() => started);
  await consumer.shutdown({ timeout: 0 });
  await running;
}

/**
 * Publishes messages, restarts a consumer repeatedly, and finally handles all messages. Returns the
 * outcome of each message.
 */
export async function restartConsumers(
  publisher: QueueBackend,
  restart: (run: (queue: QueueBackend) => Promise<void>) => Promise<void>,
): Promise<readonly Outcome[]> {
  await Promise.all(Array.from({ length: MESSAGES }, (_, n) => publisher.publish('message', { n })));
  for (let n = 0; n < RESTARTS; n++) await restart(runAndStop);
  const outcomes: Outcome[] = [];
  await restart(async (queue) => {
    const consumer = new AsyncLoopConsumer(queue, {
      logger: silentLogger,
      onOutcome: (outcome) => void outcomes.push(outcome),
    });
    const running = consumer.run(() => undefined);
    await eventually(
      () => outcomes.length >= MESSAGES,
      () => outcomes.length,
    );
    await consumer.shutdown();
    await running;
  });
  expect(outcomes.map(({ status }) => status)).toEqual(Array.from({ length: MESSAGES }, () => 'acked'));
  expect(new Set(outcomes.map(({ delivery }) => delivery.id)).size).toBe(MESSAGES);
  return outcomes;
}
