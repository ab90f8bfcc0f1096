import { inOrder, onceEach } from '../lib/tally.mjs';

const MESSAGES = 200_000;

/** Compares an intercepted queue with the same queue without interceptors. */
const scenario = (title, text, atLeast, run) => ({
  title,
  text,
  unit: 'M/s',
  table: 'interceptors',
  section: 'interceptors',
  messages: MESSAGES,
  contenders: ['sluice', 'sluice-bare'],
  goals: [{ atLeast, of: 'sluice-bare' }],
  run,
});

/** Awaits each publish, and handles the messages 8 at a time. */
const handled =
  (kind) =>
  async (contender, { messages }) => {
    const { publish, handleAll } = await contender.intercepted(kind);
    const tally = onceEach(messages);
    const startedAt = performance.now();
    const settled = handleAll(tally.take, messages);
    for (let n = 0; n < messages; n++) await publish(n);
    return { seconds: await tally.secondsUntil(settled, startedAt) };
  };

export const passedConsume = scenario(
  'Pass-through interceptor, consume',
  'All messages are published, then a `consume` loop takes them, through an interceptor with `publish`, `deliver` and `process`.',
  0.7,
  async (contender, { messages }) => {
    const { publish, queue } = await contender.intercepted('passThrough');
    const tally = inOrder(messages);
    const startedAt = performance.now();
    for (let n = 0; n < messages; n++) void publish(n);
    const consume = async () => {
      for await (const { n } of queue.consume()) tally.take(n);
    };
    return { seconds: await tally.seconds(startedAt, [consume()]) };
  },
);

export const passedHandle = scenario(
  'Pass-through interceptor, handler',
  'The same interceptor. The publisher awaits each publish, and async handlers run 8 at a time.',
  0.7,
  handled('passThrough'),
);

export const traced = {
  ...scenario(
    'Traced, nothing sampled',
    'The same with `traced` and the SDK of OpenTelemetry, whose sampler drops every span. Contexts are still propagated. Both have its context manager.',
    0.5,
    handled('traced'),
  ),
  contenders: ['sluice', 'sluice-bare', 'sluice-by-hand'],
  goals: [
    { atLeast: 0.5, of: 'sluice-bare' },
    { atLeast: 0.8, of: 'sluice-by-hand' },
  ],
};

export const validated = scenario(
  'Validated with zod',
  'The same with `validated` and a schema of zod, against `parse` by hand before each publish and in each handler.',
  0.8,
  handled('validated'),
);
