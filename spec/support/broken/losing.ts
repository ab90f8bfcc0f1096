import { map, Observable } from 'rxjs';
import { type ConsumeOptions, MemoryBackend, type QueueBackend } from 'sluice';
import { type Broken, publishing, streaming, wrap } from './wrapped.js';

/** Backends that lose or duplicate messages, or deliver them to the wrong consumer. */
export const losing: readonly Broken[] = [
  {
    defect: 'loses deliveries in flight when the consumer unsubscribes',
    caughtBy: 'rule 9: unsubscribing requeues unsettled deliveries at once, with a higher attempt',
    saying: /stats\(\) to say \{"ready":5,"unfinished":5\}/,
    create: streaming(
      (deliveries) =>
        new Observable((subscriber) => {
          const out: { ack(): Promise<boolean> }[] = [];
          // Not the subscriber itself, which would unsubscribe first and requeue everything.
          const subscription = deliveries.subscribe((delivery) => {
            out.push(delivery);
            subscriber.next(delivery);
          });
          return () => {
            for (const delivery of out) void delivery.ack();
            subscription.unsubscribe();
          };
        }),
    ),
  },
  {
    defect: 'duplicates every message',
    caughtBy: 'rule 1: each message goes to exactly one consumer of a group',
    saying: /Expected each message exactly once/,
    create: publishing(async (memory, key, payload, options) => {
      await memory.publish(key, payload, options);
      await memory.publish(key, payload, options);
    }),
  },
  {
    defect: 'delivers one of many messages twice',
    caughtBy: 'rule 1: each message goes to exactly one consumer of a group',
    saying: /Expected each message exactly once/,
    create: streaming((deliveries) => {
      let count = 0;
      return new Observable((subscriber) =>
        deliveries.subscribe((delivery) => {
          subscriber.next(delivery);
          if (++count === 7) subscriber.next(delivery);
        }),
      );
    }),
  },
  {
    defect: 'drops messages without a consumer',
    caughtBy: 'rule 2: messages published before any consumer subscribes are delivered later, in order',
    saying: /stats\(\) to say \{"ready":20,"unfinished":20\}, got \{"ready":0/,
    create: wrap((_, memory) => {
      let consumers = 0;
      return {
        publish: async (...message: Parameters<MemoryBackend['publish']>) => {
          if (consumers > 0) await memory.publish(...message);
        },
        deliveries: (options) => {
          consumers++;
          return memory.deliveries(options);
        },
      };
    }),
  },
  {
    defect: 'loses one of a thousand messages',
    caughtBy: 'rule 4: ten thousand concurrent publishes all arrive, in order',
    saying: /got \[1 2 3/,
    create: wrap((_, memory) => {
      let published = 0;
      return {
        publish: async (...message: Parameters<MemoryBackend['publish']>) => {
          if (++published % 1000 !== 0) await memory.publish(...message);
        },
      };
    }),
  },
  {
    defect: 'serves the first consumer only, as long as it has credit',
    caughtBy: 'rule 1: consumers of a group are served in turn',
    saying: /got 30, 0, 0/,
    create: wrap((_, memory) => {
      let connected = 0;
      return {
        // The other consumers get nothing while the first one has credit.
        deliveries: (options) =>
          connected++ === 0
            ? memory.deliveries({ ...options, prefetch: 1000 })
            : new MemoryBackend().deliveries(options),
      };
    }),
  },
  {
    defect: 'lets groups compete that it promises to separate',
    caughtBy: 'rule 1: each group gets every message, and its consumers compete',
    saying: /deliveries of \[1 2 3/,
    capabilities: { groups: 'separate' },
    create: wrap((_, memory) => ({ deliveries: () => memory.deliveries({ group: 'billing' }) })),
  },
  {
    defect: 'adds a consumer without a group to the first declared group',
    caughtBy: 'rule 1: a consumer without a group joins `default`',
    saying: /stats\(\) of group "default" to say \{"ready":0,"unfinished":0\}/,
    capabilities: { groups: 'separate' },
    create: regrouping((group = 'billing') => group),
  },
  {
    defect: 'ignores the case of group names',
    caughtBy: 'rule 1: groups with similar names each get every message',
    saying: /Waited \d+ ms for deliveries of \[1 2\], got \[\]/,
    capabilities: { groups: 'separate' },
    create: regrouping((group) => group?.toLowerCase()),
  },
  {
    defect: 'ignores the punctuation of group names',
    caughtBy: 'rule 1: groups with similar names each get every message',
    saying: /Waited \d+ ms for stats\(\) of group "billing-1" to say \{"unfinished":0\}/,
    capabilities: { groups: 'separate' },
    create: regrouping((group) => group?.replace(/[-: ]1$/, '_1')),
  },
  {
    defect: 'replaces characters of headers that are not ASCII',
    caughtBy: 'rule 2: unusual characters in keys, headers and payloads arrive unchanged',
    saying: /😀/,
    create: publishing((memory, key, payload, { headers = {}, ...options } = {}) => {
      const ascii = Object.entries(headers).map(([name, value]) => [name, value.replaceAll(/[^ -~]/g, '?')]);
      return memory.publish(key, payload, { ...options, headers: Object.fromEntries(ascii) });
    }),
  },
  {
    defect: 'gives each delivery another id',
    caughtBy: 'rule 2: a redelivered message has the same id, publish time, key, headers and payload',
    saying: /Expected one `id` for one message/,
    create: streaming((deliveries) => deliveries.pipe(map((delivery) => renamed(delivery)))),
  },
];

/** Changes the group of each consumer. */
function regrouping(
  regroup: (group: string | undefined) => string | undefined,
): (memory: MemoryBackend) => QueueBackend {
  const change = (options: ConsumeOptions = {}) => ({ ...options, group: regroup(options.group) });
  return wrap((_, memory) => ({
    consume: (options?: ConsumeOptions) => memory.consume(change(options)),
    deliveries: (options?: ConsumeOptions) => memory.deliveries(change(options)),
  }));
}

let renames = 0;

function renamed<Value extends object>(delivery: Value): Value {
  const id = `id-${renames++}`;
  return new Proxy(delivery, {
    get: (target, name) => {
      const value: unknown = name === 'id' ? id : Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
