import type { NatsLink } from '../../src/nats/link.js';
import { queueNames } from '../../src/nats/names.js';
import type { NatsQueue } from '../../src/nats/queue.js';
import { Removals } from '../../src/nats/removals.js';
import { recordingLogger } from '../support/recording-logger.js';

const NOW = '2026-01-01T00:00:00Z';

/** What a new server lists for a consumer whose leader is older than 2.10. */
const NEVER = '0001-01-01T00:00:00Z';

describe('Removals', () => {
  /** A server with these times in its responses, and this response to a purge. */
  const serverOf = ({
    times = [NOW],
    stream = NOW,
    answer = {},
  }: {
    times?: (string | undefined)[];
    stream?: string;
    answer?: object;
  } = {}) => {
    const logger = recordingLogger();
    const names = queueNames('orders');
    const listed = times.map((ts, index) => ({
      name: `group${index}`,
      config: { durable_name: `group${index}` },
      ack_floor: { stream_seq: 3 },
      num_ack_pending: 0,
      ...(ts !== undefined && { ts }),
    }));
    const manager = {
      consumers: { list: async () => listed },
      streams: {
        info: async () => ({ created: 'then', ts: stream, state: { first_seq: 1, consumer_count: listed.length } }),
      },
    };
    const link = { api: '$JS.API', manager, request: async () => answer } as unknown as NatsLink;
    const queue = { options: { name: 'orders', logger }, names, topology: { groups: [] } } as unknown as NatsQueue;
    return { removals: new Removals(queue), link, logger };
  };

  const canPurge = async (options: Parameters<typeof serverOf>[0]) => {
    const { removals, link } = serverOf(options);
    return (await removals.progress(link)).canPurge;
  };

  it('purges if all leaders tell their time', async () => {
    expect(await canPurge({ times: [NOW, NOW] })).toBe(true);
  });

  it.each([undefined, NEVER])(
    'does not purge if the leader of a consumer is older than 2.10, and tells %p',
    async (ts) => {
      expect(await canPurge({ times: [NOW, ts] })).toBe(false);
    },
  );

  it('removes messages one by one if the server does not respond to a purge', async () => {
    const unanswered = { data: new Uint8Array(), headers: { code: 503 }, json: () => JSON.parse('') };
    const { removals, link, logger } = serverOf({ answer: unanswered });
    expect((await removals.progress(link)).canPurge).toBe(true);
    expect(await removals.purge(link, 3)).toBeUndefined();
    expect((await removals.progress(link)).canPurge).toBe(false);
    expect(logger.debugs.at(-1)).toMatch(/nothing answers at \$JS\.API\.STREAM\.PURGE\.orders/);
  });
});
