import { setImmediate as turn } from 'node:timers/promises';
import { ConfigurationError, MemoryBackend, type StatsOptions } from 'sluice';
import { MessageStore, StoreBackend } from '../../../examples/third-party-backend.js';
import { type Broken, publishing, wrap } from './wrapped.js';

const REFUSED =
  'rule 1: an undeclared group is refused at the call, with an error that names it and the declared groups';
const DELAYED = 'rule 3: a delayed publish for one group reaches only that group, after the delay';

/** Gives an added group none of the held messages. */
class ForgetfulStore extends MessageStore {
  readonly #known = new Set<string>();

  override async open(name: string, groups: readonly string[]): Promise<void> {
    await super.open(name, groups);
    for (const group of groups.filter((one) => !this.#known.has(`${name}/${one}`))) {
      this.#known.add(`${name}/${group}`);
      const { messages } = await this.claim(name, group, 1000);
      await Promise.all(messages.map(({ receipt }) => this.settle(name, group, receipt)));
    }
  }
}

const store = new ForgetfulStore();

/** Backends with defects in declared groups or in publishes for one group. */
export const grouping: readonly Broken[] = [
  {
    defect: 'accepts a consumer for an undeclared group',
    caughtBy: REFUSED,
    saying: /Expected deliveries\(\) for the undeclared group "late" to fail with a ConfigurationError, got undefined/,
    capabilities: { groups: 'separate' },
    create: wrap((_, memory) => ({
      deliveries: (options) => {
        try {
          return memory.deliveries(options);
        } catch {
          return new MemoryBackend().deliveries();
        }
      },
    })),
  },
  {
    defect: 'does not name the declared groups in its error',
    caughtBy: REFUSED,
    saying: /Expected the error of consume\(\) to name the group "billing", got: No group "late"/,
    capabilities: { groups: 'separate' },
    create: wrap((_, memory) => ({
      consume: (options) => {
        try {
          return memory.consume(options);
        } catch {
          throw new ConfigurationError(`No group "${options?.group}"`);
        }
      },
    })),
  },
  {
    defect: 'creates an undeclared group, though it refuses the call',
    caughtBy: 'rule 2: a refused call for an undeclared group creates nothing',
    saying: /Waited \d+ ms for stats\(\) to say \{"ready":0,"unfinished":0\}, got \{"ready":1,"unfinished":1\}/,
    capabilities: { groups: 'separate' },
    create: wrap((_, memory) => {
      let created: MemoryBackend | undefined;
      return {
        publish: async (...message: Parameters<MemoryBackend['publish']>) => {
          await memory.publish(...message);
          await created?.publish(...message);
        },
        stats: async (options?: StatsOptions) => {
          const stats = await memory.stats(options).catch((error: unknown) => {
            created ??= new MemoryBackend();
            throw error;
          });
          return options?.group === undefined && stats.unfinished === 0 && created !== undefined
            ? created.stats()
            : stats;
        },
      };
    }),
  },
  {
    defect: 'delivers a message for one group to every group',
    caughtBy: 'rule 1: a publish for one group reaches only that group and counts only there',
    saying: /stats\(\) of group "billing" to say \{"ready":3,"unfinished":3\}, got \{"ready":4/,
    capabilities: { groups: 'separate' },
    create: publishing((memory, key, payload, { group, ...options } = {}) => memory.publish(key, payload, options)),
  },
  {
    defect: 'delivers a delayed message for one group to every group',
    caughtBy: DELAYED,
    saying: /Expected deliveries of \[2 3\], got \[2 1/,
    capabilities: { groups: 'separate' },
    create: publishing((memory, key, payload, { group, ...options } = {}) =>
      memory.publish(key, payload, options.delay ? options : { ...options, group }),
    ),
  },
  {
    defect: 'does not delay messages for one group',
    caughtBy: DELAYED,
    saying: /Expected deliveries of \[2 1\], got \[1/,
    capabilities: { groups: 'separate' },
    create: publishing((memory, key, payload, { delay, ...options } = {}) =>
      memory.publish(key, payload, options.group === undefined ? { ...options, delay } : options),
    ),
  },
  {
    defect: 'lets messages for one group overtake messages for all groups',
    caughtBy: 'rule 3: messages for one group and for all groups arrive in the order of the publish() calls',
    saying: /Expected deliveries of \[1 3 4 5/,
    capabilities: { groups: 'separate' },
    create: publishing(async (memory, key, payload, options) => {
      if (options?.group === undefined) await turn();
      await memory.publish(key, payload, options);
    }),
  },
  {
    defect: 'starts an added group with the next message, though it promises the held messages',
    caughtBy: 'rule 2: an added group starts with the messages that the queue still holds, in order',
    saying: /Waited \d+ ms for deliveries of \[2 3 5\], got \[\]/,
    capabilities: { groups: 'separate', shared: true, addedGroups: 'held', close: 'at once' },
    create: (_, { name, groups, logger }) => new StoreBackend({ store, name, groups, logger }),
  },
];
