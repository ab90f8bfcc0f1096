import { map, Observable } from 'rxjs';
import { type ConsumeOptions, MemoryBackend, type QueueBackend } from 'sluice';
import { type Broken, publishing, streaming, wrap } from './wrapped.js';

/** Backends that lose messages, double them or hand them to the wrong consumer. */
export const losing: readonly Broken[] = [
  {
    defect: 'loses what is out when its consumer leaves',
    caughtBy:
      'rule 9: unsubscribing gives back at once what is out, with a higher attempt, and nothing that was settled',
    saying: /stats\(\) to say \{"ready":5,"unfinished":5\}/,
    create: streaming(
      (deliveries) =>
        new Observable((subscriber) => {
          const out: { ack(): Promise<boolean> }[] = [];
          // The subscriber itself would unsubscribe first, and everything would go back.
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
    defect: 'doubles every message',
    caughtBy: 'rule 1: each message goes to exactly one consumer of a group',
    saying: /Expected each message exactly once/,
    create: publishing(async (memory, key, payload, options) => {
      await memory.publish(key, payload, options);
      await memory.publish(key, payload, options);
    }),
  },
  {
    defect: 'delivers one message of many to two consumers',
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
    defect: 'forgets what is published while nobody consumes',
    caughtBy: 'rule 2: what is published first is consumed later, in order',
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
    defect: 'loses one message in a thousand',
    caughtBy: 'rule 4: ten thousand calls of publish() at once are all taken, in order',
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
    defect: 'serves the consumer that came first, and the others with what that leaves',
    caughtBy: 'rule 1: consumers of a group are served in turn: nobody is left out',
    saying: /got 30, 0, 0/,
    create: wrap((_, memory) => {
      let connected = 0;
      return {
        // The others do not get a look in while the first one has credit.
        deliveries: (options) =>
          connected++ === 0
            ? memory.deliveries({ ...options, prefetch: 1000 })
            : new MemoryBackend().deliveries(options),
      };
    }),
  },
  {
    defect: 'lets groups compete, though it promises that they do not',
    caughtBy: 'rule 1: each group gets every message, and shares it out among its consumers',
    saying: /deliveries of \[1 2 3/,
    capabilities: { groups: 'separate' },
    create: wrap((_, memory) => ({ deliveries: () => memory.deliveries({ group: 'billing' }) })),
  },
  {
    defect: 'takes a consumer that names no group for one of the first that was declared',
    caughtBy: 'rule 1: a consumer that names no group is one of `default`',
    saying: /stats\(\) of group "default" to say \{"ready":0,"unfinished":0\}/,
    capabilities: { groups: 'separate' },
    create: regrouping((group = 'billing') => group),
  },
  {
    defect: 'takes groups for one that differ in case only',
    caughtBy: 'rule 1: groups of similar names get every message each',
    saying: /Waited \d+ ms for deliveries of \[1 2\], got \[\]/,
    capabilities: { groups: 'separate' },
    create: regrouping((group) => group?.toLowerCase()),
  },
  {
    defect: 'takes groups for one that differ in punctuation only',
    caughtBy: 'rule 1: groups of similar names get every message each',
    saying: /Waited \d+ ms for stats\(\) of group "billing-1" to say \{"unfinished":0\}/,
    capabilities: { groups: 'separate' },
    create: regrouping((group) => group?.replace(/[-: ]1$/, '_1')),
  },
  {
    defect: 'cuts headers to what is ASCII',
    caughtBy: 'rule 2: keys, headers and strings in a payload may be odd, and arrive as they were sent',
    saying: /😀/,
    create: publishing((memory, key, payload, { headers = {}, ...options } = {}) => {
      const ascii = Object.entries(headers).map(([name, value]) => [name, value.replaceAll(/[^ -~]/g, '?')]);
      return memory.publish(key, payload, { ...options, headers: Object.fromEntries(ascii) });
    }),
  },
  {
    defect: 'gives a message another id each time',
    caughtBy: 'rule 2: a message is the same on every delivery: id, time, key, headers and payload',
    saying: /Expected one `id` for one message/,
    create: streaming((deliveries) => deliveries.pipe(map((delivery) => renamed(delivery)))),
  },
];

/** Consumers of other groups than they asked for. */
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
