import { common, expectUnfinished, publishAll } from './common.mjs';

/** Creates a scenario with several publishers. Each awaits each publish. */
export function publishWith(publishers, scenario) {
  return {
    ...common,
    unit: 'k/s',
    warmUps: 2,
    warmUpMessages: 5000,
    goals: [{ atLeast: 0.85, of: 'limit' }],
    ...scenario,

    async run(contender, { messages, url, empty }) {
      await empty(url);
      const publisher = await contender.publisher(url);
      const startedAt = performance.now();
      await publishAll(publisher, messages, publishers);
      const seconds = (performance.now() - startedAt) / 1000;
      await expectUnfinished(publisher, messages);
      await publisher.close();
      return { seconds };
    },
  };
}
