import { onceEach } from '../../lib/tally.mjs';
import { common, countAcks, expectUnfinished, publishAll } from './common.mjs';

const PUBLISHERS = 512;

/** The defaults of the scenarios that consume waiting messages. */
export const consuming = { ...common, unit: 'k/s', warmUps: 2, warmUpMessages: 5000 };

/** Opens a publisher and publishes all messages. */
export async function fill(contender, { messages, url, empty }) {
  await empty(url);
  const publisher = await contender.publisher(url);
  await publishAll(publisher, messages, PUBLISHERS);
  return publisher;
}

/** One consumer takes all waiting messages. */
export function consumeAll(scenario) {
  return {
    ...consuming,
    ...scenario,

    async run(contender, { messages, url, empty }) {
      const publisher = await fill(contender, { messages, url, empty });
      const consumer = await contender.consumer(url);
      const tally = onceEach(messages);
      const { acked, all } = countAcks(messages);
      const confirmed = all.then(() => consumer.flush?.());
      const startedAt = performance.now();
      consumer.start(tally.take, acked);
      const seconds = await tally.secondsUntil(confirmed, startedAt);
      // Unacknowledged messages are requeued.
      await consumer.close();
      await expectUnfinished(publisher, 0);
      await publisher.close();
      return { seconds };
    },
  };
}
