import { Crew } from '../../lib/crew.mjs';
import { onceEach } from '../../lib/tally.mjs';
import { common, countAcks, expectUnfinished, publishAll } from './common.mjs';

const PUBLISHERS = 512;
const PROCESSES = 4;

/** The defaults of the scenarios that consume waiting messages. */
const consuming = { ...common, unit: 'k/s', warmUps: 2, warmUpMessages: 5000 };

/** Opens a publisher and publishes all messages. */
async function fill(contender, { messages, url, empty }) {
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

/** Four processes with a consumer each take all waiting messages. */
export function consumeInCrew(engine, scenario) {
  // The crew is kept between runs, so that the warm-ups also warm up its processes.
  let crew;
  return {
    ...consuming,
    ...scenario,

    async run(contender, { messages, url, empty, contenderId }) {
      const publisher = await fill(contender, { messages, url, empty });
      crew ??= new Crew(PROCESSES, engine, contenderId, url);
      await crew.open();
      const seconds = await crew.consume(messages);
      const tally = onceEach(messages);
      for (const n of (await crew.close()).flat()) tally.take(n);
      await expectUnfinished(publisher, 0);
      await publisher.close();
      return { seconds };
    },
  };
}
