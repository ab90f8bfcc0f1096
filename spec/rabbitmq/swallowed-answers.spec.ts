import { Connection } from 'rabbitmq-client';
import { type Delivery, receive } from 'sluice';
import { RabbitMqBackend } from 'sluice/rabbitmq';
import { numberOf } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { AmqpProxy, type Answer } from '../support/servers/amqp-proxy.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

/**
 * The swallowed replies, and how many of their kind pass before: up to the last one of the
 * exercise.
 */
const SWALLOWED: readonly (readonly [answer: Answer, passes: readonly number[]])[] = [
  ['connection.start', [0, 1]],
  ['connection.tune', [0, 1]],
  ['connection.open-ok', [0, 1]],
  ['connection.close-ok', [0]],
  ['channel.open-ok', [0, 1, 2, 3, 4]],
  ['channel.close-ok', [0, 1, 2]],
  ['exchange.declare-ok', [0, 1, 2, 4]],
  ['exchange.bind-ok', [0]],
  ['queue.declare-ok', [0, 1, 2, 3, 4, 5, 6, 8, 12]],
  ['queue.bind-ok', [0, 1, 2]],
  ['basic.qos-ok', [0, 1, 2, 3]],
  ['basic.consume-ok', [0, 1]],
  ['basic.cancel-ok', [0, 1]],
  ['basic.ack', [0, 1]],
  ['confirm.select-ok', [0]],
];

/** The same for a given client, which keeps its connection. */
const HANDED_IN: typeof SWALLOWED = [
  ['channel.open-ok', [0, 2]],
  ['channel.close-ok', [0]],
  ['queue.declare-ok', [0]],
  ['basic.qos-ok', [0]],
  ['basic.consume-ok', [0]],
  ['basic.ack', [0]],
];

type Row = readonly [answer: Answer, passes: number, connection: 'its own' | 'a given one'];

const rowsOf = (table: typeof SWALLOWED, connection: Row[2]): Row[] =>
  table.flatMap(([answer, passes]) => passes.map((passed): Row => [answer, passed, connection]));

describeWithRabbitMq('RabbitMqBackend when a reply never arrives', () => {
  retryOnce();
  const suite = new RabbitMqSuite();
  const rows = [...rowsOf(SWALLOWED, 'its own'), ...rowsOf(HANDED_IN, 'a given one')];
  const runs = new Map<string, Promise<void>>();

  /** Uses every feature of a queue. Each part has to finish, whichever reply is swallowed. */
  const exercise = async (row: Row) => {
    const [answer, passes, connection] = row;
    const proxy = await AmqpProxy.start(suite.server.port);
    const url = new URL(suite.url);
    url.port = String(await proxy.port());
    const client =
      connection === 'its own'
        ? undefined
        : new Connection({ url: url.href, retryLow: 50 }).on('error', () => undefined);
    const where = client === undefined ? { url: url.href } : { client };
    const logger = recordingLogger();
    const queue = new RabbitMqBackend({ ...where, name: row.join(' '), publishTimeout: 90_000, logger });
    proxy.swallow(answer, passes);
    try {
      const done = new Set<number>();
      const settle = async (delivery: Delivery) => {
        const n = numberOf(delivery.payload);
        if (n === 2 && delivery.attempt === 1) await delivery.nack({ delay: 20 });
        // If the reply was swallowed, the ack resolves with false although the broker has it.
        else await delivery.ack().then(() => done.add(n));
      };
      const subscription = queue.deliveries({ prefetch: 2 }).subscribe((delivery) => void settle(delivery));
      await queue.publish('key', { n: 1 });
      await queue.publish('key', { n: 2 });
      await queue.publish('key', { n: 3 }, { delay: 20 });
      await eventually(
        () => done.size === 3,
        () => ({ row, done, swallowed: proxy.swallowed, logger }),
      );
      // A message that was resent because its confirm was swallowed is delivered again.
      await eventually(async () => (await queue.stats()).unfinished === 0);
      subscription.unsubscribe();

      // A stopped subscriber requeues prefetched messages and can still settle those in flight.
      const stopping = new AbortController();
      const held: Delivery[] = [];
      const ended = new Promise<void>((complete) => {
        queue
          .deliveries({ prefetch: 2, signal: stopping.signal })
          .subscribe({ next: (delivery) => void held.push(delivery), complete });
      });
      await Promise.all([queue.publish('key', { n: 4 }), queue.publish('key', { n: 5 })]);
      await eventually(
        () => held.length >= 2,
        () => ({ row, held, logger }),
      );
      await held[0]?.release();
      stopping.abort();
      for (const delivery of held) if (delivery.settled === false) await delivery.ack();
      await ended;

      const counted = receive(queue).then((delivery) => delivery.ack());
      await queue.publish('key', { n: 6 });
      expect(await counted).toBe(true);
    } finally {
      await queue.close();
      client?.unsafeDestroy();
    }
    await eventually(() => proxy.swallowed === 1);
    await proxy.stop();
  };

  // The cases run concurrently, because most of their time is waiting.
  beforeAll(() => {
    for (const row of rows) {
      const run = exercise(row);
      // A failure is reported where the run is awaited.
      run.catch(() => undefined);
      runs.set(row.join(), run);
    }
  });

  it.each(rows)('continues: %s, after %d others, on %s connection', (...row) => runs.get(row.join()));
});
