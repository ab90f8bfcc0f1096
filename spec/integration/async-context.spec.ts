import { AsyncLoopConsumer, inBatches, MemoryBackend, type QueueBackend, receive } from 'sluice';
import { numberOf } from '../support/consumers.js';
import { Contexts } from '../support/contexts.js';
import { eventually } from '../support/eventually.js';
import { silentLogger } from '../support/recording-logger.js';
import type { Broker, FaultyServer } from './broker.js';
import { describeWithEveryEngine } from './every-engine.js';
import { Stage } from './stage.js';

/** Tests in which async context each function runs. */
function keepsContexts(open: () => QueueBackend): void {
  let contexts: Contexts;
  let queue: QueueBackend;

  beforeEach(() => {
    contexts = new Contexts();
    queue = open();
  });

  /** Publishes in the context of a request, which also opens the connections. */
  const publish = (publisher: string, ...numbers: number[]) =>
    contexts.in(publisher, () => Promise.all(numbers.map((n) => queue.publish('number', { n }))));

  const noted = (count: number) =>
    eventually(
      () => contexts.notes.length >= count,
      () => contexts.notes,
    );

  it('runs all functions of two consumers in the context of their run() calls', async () => {
    await publish('request', 1);
    const consumers = ['first', 'second'].map((name) => {
      const consumer = new AsyncLoopConsumer(queue, {
        concurrency: 3,
        prefetch: 4,
        orderBy: () => contexts.note(`${name} orderBy`),
        timeout: 60_000,
        retry: {
          count: 1,
          delay: () => {
            contexts.note(`${name} delay`);
            return 10;
          },
        },
        deadLetter: () => contexts.note(`${name} dead letter`),
        onOutcome: ({ status }) => contexts.note(`${name} ${status}`),
        logger: silentLogger,
      });
      const running = contexts.in(name, () =>
        consumer.run(async ({ n }: { n?: number }, { attempt }) => {
          contexts.note(`${name} handler`);
          await new Promise(setImmediate);
          contexts.note(`${name} handler`);
          if (n === 3 || (n === 2 && attempt === 1)) throw new Error('failed');
        }),
      );
      return { consumer, running };
    });
    await publish('publisher', 2, 3);
    await publish('another publisher', 4, 5, 6, 7, 8);
    const settled = () => contexts.notes.filter((note) => /acked|dead-lettered/.test(note)).length;
    await eventually(
      () => settled() === 8,
      () => contexts.notes,
    );
    for (const { consumer, running } of consumers) {
      await contexts.in('stopper', () => consumer.shutdown());
      await running;
    }
    expect(contexts.notes.filter((note) => !/^(first|second) .* in \1$/.test(note))).toEqual([]);
    expect(contexts.notes).toContainEqual(expect.stringContaining('dead letter'));
    expect(contexts.notes).toContainEqual(expect.stringContaining('delay'));
  });

  it('emits to a subscriber in the context of its subscription, also after a resubscription', async () => {
    await publish('request', 1);
    const subscribe = (name: string) =>
      contexts.in(name, () =>
        queue.deliveries({ prefetch: 1 }).subscribe({
          next: (delivery) => {
            contexts.note(`${numberOf(delivery.payload)}`);
            void contexts.in('settler', () => delivery.ack());
          },
          complete: () => contexts.note('complete'),
        }),
      );
    const first = subscribe('first');
    await publish('publisher', 2);
    await noted(2);
    first.unsubscribe();
    subscribe('second');
    await publish('publisher', 3);
    await noted(3);
    await contexts.in('closer', () => queue.close());
    expect(contexts.notes).toEqual(['1 in first', '2 in first', '3 in second', 'complete in second']);
  });

  it('emits batches in the context of the subscriber, also timed ones', async () => {
    await publish('request', 1);
    contexts.in('subscriber', () =>
      queue
        .deliveries()
        .pipe(inBatches({ maxSize: 2, maxWait: 200, logger: silentLogger }))
        .subscribe((batch) => {
          for (const { payload } of batch.deliveries) contexts.note(`${numberOf(payload)}`);
          void batch.ack();
        }),
    );
    await publish('publisher', 2, 3);
    await noted(3);
    expect([...contexts.notes].sort()).toEqual(['1 in subscriber', '2 in subscriber', '3 in subscriber']);
  });

  it('runs loops and the code after receive() in their own context', async () => {
    await publish('request', 1);
    await contexts.in('receiver', async () => {
      await (await receive(queue)).ack();
      contexts.note('received');
    });
    const loop = contexts.in('loop', async () => {
      for await (const { payload } of queue.deliveries()) contexts.note(`${numberOf(payload)}`);
    });
    await publish('publisher', 2);
    await noted(2);
    await publish('another publisher', 3);
    await noted(3);
    await contexts.in('closer', () => queue.close());
    await loop;
    expect(contexts.notes).toEqual(['received in receiver', '2 in loop', '3 in loop']);
  });
}

function keepsContextsOn<Server extends FaultyServer>(broker: Broker<Server>): void {
  const stage = new Stage(broker);
  keepsContexts(() => stage.open().queue);
}

describe('An in-memory queue', () => keepsContexts(() => new MemoryBackend({ logger: silentLogger })));

describeWithEveryEngine('A queue on %s', keepsContextsOn);
