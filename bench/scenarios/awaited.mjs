import { inOrder } from '../lib/tally.mjs';

async function run(contender, { messages }, capacity) {
  const queue = await contender.open({ capacity });
  const tally = inOrder(messages);
  const startedAt = performance.now();
  const consumer = queue.consume(tally.take);
  const seconds = await tally.seconds(startedAt, [consumer, queue.publish(0, 1, messages)]);
  return { seconds };
}

export const awaited = {
  title: 'Publisher awaits each publish',
  text: 'One publisher awaits each publish; one consumer.',
  unit: 'M/s',
  contenders: [
    'sluice',
    'limit',
    'checked',
    'rxjs-for-await',
    'ix',
    'it-pushable',
    'event-iterator',
    'events-on',
    'pass-through',
    'effect',
    'effect-take-all',
  ],
  // The consumer takes more turns for a value than the publisher, so a backlog builds up.
  fewer: ['rxjs-for-await'],
  goals: [{ atLeast: 0.8, of: 'limit' }],
  run: (contender, options) => run(contender, options, undefined),
};

export const bounded = {
  title: 'The same with a capacity of 16',
  text: 'The queue holds at most 16 messages. Only contenders with backpressure.',
  unit: 'M/s',
  contenders: [
    'sluice',
    'limit',
    'checked',
    'it-pushable',
    'event-iterator',
    'events-on',
    'pass-through',
    'effect',
    'effect-take-all',
  ],
  goals: [{ atLeast: 0.9, of: 'limit' }],
  run: (contender, options) => run(contender, options, 16),
};
