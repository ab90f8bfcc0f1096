import { inOrderPerPublisher } from '../lib/tally.mjs';

const PUBLISHERS = 8;
const CONSUMERS = 8;

export const many = {
  title: '8 publishers, 8 consumers',
  text: 'Each publisher awaits each publish. The order of each publisher is checked. Only contenders that several consumers can share.',
  unit: 'M/s',
  contenders: [
    'sluice',
    'limit',
    'checked',
    'rxjs-for-await',
    'ix',
    'event-iterator',
    'events-on',
    'pass-through',
    'effect',
    'effect-take-all',
  ],
  // The consumer takes more turns for a value than the publisher, so a backlog builds up.
  fewer: ['rxjs-for-await'],
  goals: [{ atLeast: 0.8, of: 'limit' }],

  async run(contender, { messages }) {
    const queue = await contender.open();
    const tally = inOrderPerPublisher(messages, PUBLISHERS);
    const startedAt = performance.now();
    const running = [];
    for (let consumer = 0; consumer < CONSUMERS; consumer++) running.push(queue.consume(tally.take));
    for (let publisher = 0; publisher < PUBLISHERS; publisher++)
      running.push(queue.publish(publisher, PUBLISHERS, messages));
    return { seconds: await tally.seconds(startedAt, running) };
  },
};
