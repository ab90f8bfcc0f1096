import { map } from 'rxjs';
import type { Delivery, PublishOptions } from 'sluice';
import { numberOf } from '../consumers.js';
import { asStream, type Broken, changed, delivering, publishing, wrap } from './wrapped.js';

const ALL_PARTS = 'rule 2: a hundred messages arrive with key, payload, headers, id and publish time';
const UNUSUAL = 'rule 2: unusual characters in keys, headers and payloads arrive unchanged';
const SAME = 'rule 2: a redelivered message has the same id, publish time, key, headers and payload';
const DELAYED = 'rule 3: a delayed publish is delivered when it is due, not before';

/** Publishes payloads that went through a change of their JSON. */
function rewriting(rewrite: (payload: object) => string): Broken['create'] {
  return publishing((memory, key, payload, options) =>
    memory.publish(key, JSON.parse(rewrite(payload)) as object, options),
  );
}

/** Backends that change messages. */
export const altering: readonly Broken[] = [
  {
    defect: 'loses the headers of redeliveries',
    caughtBy: SAME,
    saying: /- {5}'Trace-Id': 't-1'/,
    create: delivering(({ attempt, headers }) => ({ headers: attempt === 1 ? headers : {} })),
  },
  {
    defect: 'redelivers with another key',
    caughtBy: SAME,
    saying: /\+ {3}key: 'Orders'/,
    create: delivering(({ attempt, key }) => ({ key: attempt === 1 ? key : (key.split('.')[0] as string) })),
  },
  {
    defect: 'loses the headers of delayed messages',
    caughtBy: DELAYED,
    saying: /- {5}'Trace-Id': 't-1'/,
    create: publishing((memory, key, payload, { headers = {}, ...options } = {}) =>
      memory.publish(key, payload, { ...options, headers: options.delay === undefined ? headers : {} }),
    ),
  },
  {
    defect: 'publishes delayed messages with another key',
    caughtBy: DELAYED,
    saying: /\+ {3}'delayed'/,
    create: publishing((memory, key, payload, options) =>
      memory.publish(options?.delay === undefined ? key : 'delayed', payload, options),
    ),
  },
  {
    defect: 'reports the due time of a delayed message as `publishedAt`',
    caughtBy: DELAYED,
    saying: /Expected `publishedAt` of a delayed message to say when it was published/,
    create: wrap((_, memory) => {
      const delays = new Map<number, number>();
      return {
        publish: (key: string, payload: object, options?: PublishOptions) => {
          delays.set(numberOf(payload), options?.delay ?? 0);
          return memory.publish(key, payload, options);
        },
        deliveries: (options) => {
          const stream = memory.deliveries(options);
          const due = ({ payload, publishedAt }: Delivery) => ({
            publishedAt: publishedAt + (delays.get(numberOf(payload)) ?? 0),
          });
          return asStream(stream.pipe(map((delivery) => changed(delivery, due(delivery)))), stream);
        },
      };
    }),
  },
  {
    defect: 'converts header names to lower case',
    caughtBy: UNUSUAL,
    saying: /- {5}'Mixed Case',/,
    create: publishing((memory, key, payload, { headers = {}, ...options } = {}) => {
      const lower = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]);
      return memory.publish(key, payload, { ...options, headers: Object.fromEntries(lower) });
    }),
  },
  {
    defect: 'converts keys to lower case',
    caughtBy: UNUSUAL,
    saying: /- {3}'Mixed Case',/,
    create: publishing((memory, key, payload, options) => memory.publish(key.toLowerCase(), payload, options)),
  },
  {
    defect: 'converts empty arrays to empty objects',
    caughtBy: ALL_PARTS,
    saying: /- {3}list: \[\]/,
    create: rewriting((payload) => JSON.stringify(payload).replaceAll('[]', '{}')),
  },
  {
    defect: 'rounds numbers to 14 digits',
    caughtBy: ALL_PARTS,
    saying: /- {5}0\.1234567890123456,/,
    create: rewriting((payload) =>
      JSON.stringify(payload, (_, value: unknown) =>
        typeof value === 'number' ? Number(value.toPrecision(14)) : value,
      ),
    ),
  },
  {
    defect: 'drops properties that are null',
    caughtBy: ALL_PARTS,
    saying: /- {3}none: null/,
    create: rewriting((payload) =>
      JSON.stringify(Object.fromEntries(Object.entries(payload).filter(([, value]) => value !== null))),
    ),
  },
];
