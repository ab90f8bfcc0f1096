import type { Receipt } from '../../src/nats/answers.js';
import { queueNames } from '../../src/nats/names.js';
import type { NatsQueue } from '../../src/nats/queue.js';
import type { Removals } from '../../src/nats/removals.js';
import { Sweeper } from '../../src/nats/sweeper.js';
import { recordingLogger } from '../support/recording-logger.js';

describe('Sweeper', () => {
  interface Server {
    /** Whether the server accepts a purge. Undefined before 2.10. */
    readonly purge?: () => boolean;
    /** Whether no message is in flight. Default: true. */
    readonly isQuiet?: boolean;
    /** The first message. Default: 1. */
    readonly first?: number;
    /** The messages for one group that another process left behind. */
    readonly left?: readonly number[];
  }

  /** Creates a sweeper that gets the progress of the groups when the test calls `tell`. */
  const sweeping = (floors: Record<string, number>, { purge, isQuiet = true, first = 1, left = [] }: Server = {}) => {
    const removed: number[] = [];
    const purged: number[] = [];
    const logger = recordingLogger();
    const refused: Error[] = [];
    let tell: () => void = () => {};
    const stream = { created: 'then', state: { first_seq: first } };
    const removals = {
      progress: async () => {
        await new Promise<void>((resolve) => {
          tell = resolve;
        });
        return {
          stream,
          groups: [],
          floors: new Map(Object.entries(floors)),
          isComplete: true,
          isQuiet,
          canPurge: purge !== undefined,
        };
      },
      targetedUpTo: async () => left,
      remove: async (_link: unknown, sequences: readonly number[]) => {
        const refusal = refused.shift();
        if (refusal !== undefined) throw refusal;
        removed.push(...sequences);
      },
      purge: async (_link: unknown, last: number) => {
        if (purge?.() !== true) return undefined;
        purged.push(last);
        return last;
      },
    };
    const failures = { classify: () => 'refused' };
    const link = { manager: { streams: { info: async () => stream } } };
    const connection = { link, isReady: true };
    const topology = { groups: [] };
    const queue = { options: { name: 'q', logger }, names: queueNames('q'), topology, connection, failures };
    const sweeper = new Sweeper(queue as unknown as NatsQueue, removals as unknown as Removals, () => {});
    sweeper.begin('then');
    const settle = (sequence: number) => sweeper.settled('default', ticket(sequence));
    return { sweeper, settle, removed, purged, refused, logger, tell: () => tell() };
  };

  const ticket = (sequence: number, storedAt = 1000): Receipt => {
    return {
      subject: 'q.key',
      reply: '',
      sequence,
      storedAt,
      stream: 'then',
    };
  };

  it('removes no message that is settled after it has asked for the groups', async () => {
    const { sweeper, settle, removed, tell } = sweeping({ default: 0 });
    settle(1);
    const first = sweeper.sweep();
    settle(2);
    tell();
    await first;
    expect(removed).toEqual([1]);
    const second = sweeper.sweep();
    tell();
    await second;
    expect(removed).toEqual([1, 2]);
    sweeper.stop();
  });

  it('removes nothing if the stream was recreated while it asked for the groups', async () => {
    const { sweeper, settle, removed, tell } = sweeping({ default: 0 });
    settle(1);
    sweeper.begin('before');
    sweeper.settled('default', { ...ticket(2), stream: 'before' });
    const swept = sweeper.sweep();
    sweeper.begin('then');
    tell();
    await swept;
    expect(removed).toEqual([]);
    sweeper.stop();
  });

  it('logs refusals once when they begin, and once when they end', async () => {
    const { sweeper, settle, removed, refused, logger, tell } = sweeping({ default: 0 });
    refused.push(new Error('no right'), new Error('no right'));
    settle(1);
    for (const expected of [[], [], [1], [1]]) {
      const swept = sweeper.sweep();
      tell();
      await swept;
      expect(removed).toEqual(expected);
    }
    expect(logger.warnings).toEqual([
      'NATS refuses removals of settled messages from queue "q", trying again: Error: no right',
      expect.stringMatching(
        /^NATS accepts removals of settled messages from queue "q" again after [\d.]+ s, 3 attempts$/,
      ),
    ]);
    sweeper.stop();
  });

  it('remembers removed messages by sequence number and time of storage', async () => {
    const { sweeper, settle, tell } = sweeping({ default: 0 });
    settle(1);
    expect(sweeper.isSettled('default', ticket(1))).toBe(true);
    const swept = sweeper.sweep();
    tell();
    await swept;
    expect(sweeper.isSettled('default', ticket(1))).toBe(true);
    expect(sweeper.isSettled('default', ticket(1, 2000))).toBe(false);
    expect(sweeper.isSettled('other', ticket(1))).toBe(false);
    sweeper.stop();
  });

  describe('on a server that purges', () => {
    const purge = () => true;

    it('removes with one request the messages that all groups have settled', async () => {
      const { sweeper, settle, removed, purged, tell } = sweeping({ default: 3, other: 2 }, { purge });
      for (const sequence of [1, 2, 3]) settle(sequence);
      const swept = sweeper.sweep();
      tell();
      await swept;
      expect(purged).toEqual([2]);
      expect(removed).toEqual([]);
      for (const sequence of [1, 2, 3]) expect(sweeper.isSettled('default', ticket(sequence))).toBe(true);
      sweeper.stop();
    });

    it('removes one by one the messages that no purge reaches', async () => {
      const { sweeper, settle, removed, purged, tell } = sweeping({ default: 1 }, { purge });
      for (const sequence of [1, 3, 4]) settle(sequence);
      const swept = sweeper.sweep();
      tell();
      await swept;
      expect(purged).toEqual([1]);
      expect(removed).toEqual([3, 4]);
      sweeper.stop();
    });

    it('does not purge while a message is in flight: a consumer would forget its requeued messages', async () => {
      const { sweeper, settle, removed, purged, tell } = sweeping({ default: 1 }, { purge, isQuiet: false });
      settle(1);
      settle(3);
      const swept = sweeper.sweep();
      tell();
      await swept;
      expect(purged).toEqual([]);
      expect(removed).toContain(3);
      sweeper.stop();
    });

    it('removes messages one by one if the server refuses the purge', async () => {
      const { sweeper, settle, removed, tell } = sweeping({ default: 2 }, { purge: () => false });
      for (const sequence of [1, 2]) settle(sequence);
      const swept = sweeper.sweep();
      tell();
      await swept;
      expect(removed.toSorted()).toEqual([1, 1, 2, 2]);
      sweeper.stop();
    });

    it('does not purge with floors that are too old: the stream may have been recreated', async () => {
      const { sweeper, settle, removed, purged, tell } = sweeping({ default: 2 }, { purge });
      for (const sequence of [1, 2]) settle(sequence);
      const now = jest.spyOn(performance, 'now');
      const swept = sweeper.sweep();
      const late = performance.now() + 501;
      now.mockReturnValue(late);
      tell();
      await swept;
      now.mockRestore();
      expect(purged).toEqual([]);
      expect(removed).toContain(1);
      sweeper.stop();
    });

    it('does not purge a stream that begins at 0: before 2.12, the server would purge all', async () => {
      const { sweeper, settle, purged, tell } = sweeping({ default: 0 }, { purge, first: 0 });
      settle(1);
      const swept = sweeper.sweep();
      tell();
      await swept;
      expect(purged).toEqual([]);
      sweeper.stop();
    });

    describe('with fake timers', () => {
      beforeEach(() => jest.useFakeTimers());
      afterEach(() => jest.useRealTimers());

      /** Lets a sweep ask for the groups after a time, and responds. */
      const answerAfter = async (milliseconds: number, tell: () => void) => {
        await jest.advanceTimersByTimeAsync(milliseconds);
        tell();
        await jest.advanceTimersByTimeAsync(0);
      };

      it('removes messages for one group that another process left behind, also after a purge', async () => {
        const { sweeper, removed, purged, tell } = sweeping({ default: 3, other: 1 }, { purge, left: [2, 3] });
        sweeper.settled('default', {
          ...ticket(1),
          subject: queueNames('q').targetedTo('default'),
        });
        await answerAfter(50, tell);
        expect([purged, removed]).toEqual([[1], []]);
        await answerAfter(1000, tell);
        expect(removed).toEqual([2, 3]);
        sweeper.stop();
      });

      it('removes messages for all groups that another process left behind, while a message is in flight', async () => {
        const { sweeper, removed, tell } = sweeping({ default: 2 }, { purge, isQuiet: false });
        // The group only passes it: another group gets it.
        sweeper.settled('default', {
          ...ticket(2),
          subject: queueNames('q').targetedTo('other'),
        });
        await answerAfter(50, tell);
        expect(removed).toEqual([]);
        await answerAfter(1000, tell);
        expect(removed).toEqual([1, 2]);
        sweeper.stop();
      });
    });
  });
});
