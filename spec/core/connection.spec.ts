import { ConnectionLostError, FatalError } from '../../src/core/engine-errors.js';
import { outcomeOf, rejectionOf, stateOf, turns } from '../support/promises.js';
import { listenersOf } from '../support/signals.js';
import { type FakeLink, PATIENCE, Stage } from './fake-link.js';
import { Abort, fakeTime, pass } from './fakes.js';

const CLOSED = new ConnectionLostError('The connection was closed');

let stage: Stage;

beforeEach(() => {
  fakeTime();
  stage = new Stage();
});

afterEach(() => {
  expect(stage.problems).toEqual([]);
  jest.restoreAllMocks();
  jest.useRealTimers();
});

async function connected(): Promise<FakeLink> {
  const ready = stage.connection.ready();
  stage.link.open();
  await ready;
  return stage.link;
}

describe('Connection', () => {
  it('connects once on first use, and is ready only when the link is prepared', async () => {
    const { connection, links } = stage;
    expect([links.length, connection.isReady, connection.link]).toEqual([0, false, undefined]);
    const waits = [connection.ready(), connection.acquire(), connection.ready()];
    stage.link.connecting.resolve();
    expect(await Promise.all(waits.map(stateOf))).toEqual(['pending', 'pending', 'pending']);
    expect([connection.isReady, connection.link]).toEqual([false, stage.link]);
    stage.link.preparing.resolve();
    expect(await Promise.all(waits)).toEqual([undefined, stage.link, undefined]);
    expect([connection.isReady, await stateOf(connection.ready()), links.length, jest.getTimerCount()]).toEqual([
      true,
      'fulfilled',
      1,
      0,
    ]);
    expect(stage.logger.warnings).toEqual([]);
  });

  it('prefers the reason that a link reported before its call failed', async () => {
    const ready = stage.connection.ready();
    stage.link.lost('fatal: wrong password');
    stage.link.lost('fatal: too late');
    stage.link.connecting.reject('the socket was closed');
    expect(await rejectionOf(ready)).toBe('fatal: wrong password');
    expect([stage.link.isDestroyed, stage.connection.lastError, jest.getTimerCount()]).toEqual([
      true,
      'fatal: wrong password',
      0,
    ]);
  });

  it('forgets an aborted call', async () => {
    const { connection } = stage;
    const { signal, abort } = new Abort();
    const waits = [connection.ready(signal), connection.acquire(signal), connection.ready()];
    expect(listenersOf(signal)).toBe(1);
    abort('enough');
    expect(await Promise.all(waits.slice(0, 2).map((wait) => rejectionOf(wait)))).toEqual(['enough', 'enough']);
    expect(await rejectionOf(connection.ready(signal))).toBe('enough');
    await connected();
    await waits[2];
    // Even if there is a connection by now: a caller that repeats its call must end.
    expect(
      await Promise.all([connection.ready(signal), connection.acquire(signal)].map((wait) => rejectionOf(wait))),
    ).toEqual(['enough', 'enough']);
    expect(listenersOf(signal)).toBe(0);
  });

  it('tries again after a fatal failure only when it is called again', async () => {
    const { connection } = stage;
    const waits = [connection.ready(), connection.acquire()];
    stage.link.connecting.resolve();
    stage.link.preparing.reject('fatal: no permission');
    expect(await Promise.all(waits.map((wait) => rejectionOf(wait)))).toEqual([
      'fatal: no permission',
      'fatal: no permission',
    ]);
    await pass(60_000);
    expect(stage.links.length).toBe(1);
    await connected();
    expect([stage.links.length, connection.lastError]).toEqual([2, undefined]);
  });

  it('treats a client that cannot be created as fatal', async () => {
    stage.onLink = () => {
      throw new TypeError('no such option');
    };
    const error = await rejectionOf(stage.connection.ready());
    expect([error, (error as FatalError).cause]).toEqual([
      new FatalError('The client could not be created'),
      new TypeError('no such option'),
    ]);
    stage.onLink = () => {};
    await connected();
  });

  it('reconnects immediately after a loss, and logs it', async () => {
    const first = await connected();
    await pass(60_000);
    first.lost('reset by peer');
    expect([first.isDestroyed, stage.connection.isReady, stage.connection.lastError, stage.links.length]).toEqual([
      true,
      false,
      'reset by peer',
      2,
    ]);
    const next = stage.connection.acquire();
    stage.link.open();
    expect(await next).toBe(stage.links[1]);
    await pass(1000);
    expect(stage.logger.warnings).toEqual([
      'Queue "orders" lost the connection to Broker at here:1: "reset by peer". Reconnecting.',
      'Reconnected to Broker at here:1 after 0.0 s, 1 attempt',
    ]);
  });

  it('ignores an earlier link, and repeated reports', async () => {
    const first = await connected();
    await pass(60_000);
    stage.onLink = (link) => link.open();
    stage.connection.lose(first, 'once');
    stage.connection.lose(first, 'twice');
    first.lost('late');
    await pass(60_000);
    const second = stage.link;
    first.lost('very late');
    stage.connection.lose(first, 'very late');
    expect([stage.links.length, stage.connection.link, second.isDestroyed]).toEqual([2, second, false]);
    stage.onLink = () => {};
    stage.connection.renew('too slow');
    expect([stage.links.length, second.isDestroyed, stage.connection.lastError]).toEqual([3, true, 'too slow']);
    stage.connection.renew('still connecting');
    expect([stage.links.length, stage.link.isDestroyed]).toEqual([3, false]);
  });

  it.each([
    [0, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]],
    [1, [25, 50, 100, 200, 400, 800, 1600, 2500, 2500, 2500]],
  ])('waits longer after each failure, up to five seconds, and warns once (chance: %p)', async (chance, pauses) => {
    jest.spyOn(Math, 'random').mockReturnValue(chance);
    stage.onLink = (link) => link.connecting.reject(new Error('refused'));
    const ready = stage.connection.ready();
    await pass(pauses.reduce((sum, pause) => sum + pause) + 1);
    expect(stage.pauses).toEqual(pauses);
    expect([await stateOf(ready), String(stage.connection.lastError), jest.getTimerCount()]).toEqual([
      'pending',
      'Error: refused',
      1,
    ]);
    stage.onLink = (link) => link.open();
    await pass(5000);
    await ready;
    await pass(1000);
    expect(stage.logger.warnings).toEqual([
      'Queue "orders" cannot connect to Broker at here:1: Error: refused. Trying again.',
      expect.stringMatching(/^Reconnected to Broker at here:1 after [\d.]+ s, 12 attempts$/),
    ]);
  });

  it('backs off when every connection breaks as soon as it is ready', async () => {
    stage.onLink = (link) => {
      link.open();
      setTimeout(() => link.lost('thrown out'), 10);
    };
    await stage.connection.ready();
    await pass(10_000);
    // Without a backoff there are a thousand.
    expect(stage.links.length).toBeLessThan(200);
  });

  it.each(['connecting', 'preparing'] as const)('gives up a link that takes too long, %s', async (step) => {
    const ready = stage.connection.ready();
    const [first] = stage.links;
    if (step === 'preparing') first?.connecting.resolve();
    await pass(PATIENCE - 1);
    expect(first?.isDestroyed).toBe(false);
    await pass(51);
    expect([first?.isDestroyed, stage.links.length, String(stage.connection.lastError)]).toEqual([
      true,
      2,
      'Error: Broker did not answer in time',
    ]);
    stage.link.open();
    await ready;
  });

  it.each(['connecting', 'preparing'] as const)(
    'goes on without a link that never answers, not even when it is destroyed: %s',
    async (step) => {
      const ready = stage.connection.ready();
      const first = stage.link;
      first.isDeaf = true;
      if (step === 'preparing') first.connecting.resolve();
      await pass(PATIENCE + 50);
      expect([stage.links.length, String(stage.connection.lastError)]).toEqual([
        2,
        'Error: Broker did not answer in time',
      ]);
      stage.link.open();
      await ready;
      await pass(1000);
      expect([stage.connection.link, jest.getTimerCount()]).toEqual([stage.links[1], 0]);
    },
  );

  it('destroys a link that connects after its deadline', async () => {
    const ready = stage.connection.ready();
    const first = stage.link;
    first.isDeaf = true;
    await pass(PATIENCE + 50);
    first.isDestroyed = false;
    first.connecting.resolve();
    await turns(1);
    expect([first.isDestroyed, stage.prepared.has(first)]).toEqual([true, false]);
    stage.link.open();
    await ready;
  });

  it('does not use a link that broke while it was prepared', async () => {
    const ready = stage.connection.ready();
    stage.link.connecting.resolve();
    await turns(1);
    stage.link.lost('reset by peer');
    stage.link.preparing.resolve();
    expect([await stateOf(ready), stage.connection.isReady, stage.link.isDestroyed]).toEqual(['pending', false, true]);
    await pass(50);
    stage.link.open();
    await ready;
    expect(stage.links.length).toBe(2);
  });

  it('makes `acquire` wait for the next link if the first is lost immediately', async () => {
    const acquired = stage.connection.acquire();
    const ready = stage.connection.ready().then(() => stage.link.lost('reset by peer'));
    const lost = stage.connection.ready().then(() => stage.connection.acquire());
    stage.link.open();
    await ready;
    stage.onLink = (link) => link.open();
    stage.link.open();
    await pass(5000);
    expect([await acquired, await lost].map(({ isPrepared }) => isPrepared)).toEqual([true, true]);
    expect(await lost).toBe(stage.links[1]);
  });
});

describe('A closed Connection', () => {
  /** Brings a connection to a phase. Returns the waiting calls. */
  const phases: Record<string, () => Promise<Promise<unknown>[]>> = {
    idle: async () => [],
    connecting: async () => [stage.connection.ready(), stage.connection.acquire()],
    preparing: async () => {
      const wait = stage.connection.ready();
      stage.link.connecting.resolve();
      return [wait];
    },
    ready: async () => {
      await connected();
      return [];
    },
    pausing: async () => {
      const wait = stage.connection.ready();
      stage.link.connecting.reject('refused');
      return [wait];
    },
  };

  it.each(Object.entries(phases))('was %s: rejects waiting calls and leaves no timer', async (_phase, begin) => {
    const waits = (await begin()).map((wait) => rejectionOf(wait));
    await turns(1);
    stage.connection.close();
    stage.connection.close();
    expect(await Promise.all(waits)).toEqual(waits.map(() => CLOSED));
    expect([await rejectionOf(stage.connection.ready()), await rejectionOf(stage.connection.acquire())]).toEqual([
      CLOSED,
      CLOSED,
    ]);
    expect([jest.getTimerCount(), stage.connection.link, stage.links.every(({ isDestroyed }) => isDestroyed)]).toEqual([
      0,
      undefined,
      true,
    ]);
    const { length } = stage.links;
    stage.links[0]?.lost('late');
    await pass(60_000);
    expect(stage.links.length).toBe(length);
  });

  it.each<[during: string, status: string, links: number, begin: () => void]>([
    ['its first attempt', 'connecting', 0, () => {}],
    ['its failure', 'disconnected', 1, () => stage.link.connecting.reject('refused')],
    [
      'its loss',
      'disconnected',
      1,
      () => {
        stage.link.open();
        setImmediate(() => stage.link.lost('reset by peer'));
      },
    ],
  ])('does not connect again if an observer of %s closes it', async (_during, closesAt, links, begin) => {
    stage.events.status$.subscribe((status) => status === closesAt && stage.connection.close());
    stage.connection.ready().catch(() => {});
    begin();
    await pass(5000);
    expect([stage.links.length, jest.getTimerCount()]).toEqual([links, 0]);
    expect(stage.links.every(({ isDestroyed }) => isDestroyed)).toBe(true);
    expect(await rejectionOf(stage.connection.ready())).toEqual(CLOSED);
  });

  it('stays closed when its link connects later', async () => {
    const ready = stage.connection.ready();
    stage.link.open();
    stage.connection.close();
    expect(await rejectionOf(ready)).toEqual(CLOSED);
    expect([stage.connection.isReady, stage.connection.link, await rejectionOf(stage.connection.ready())]).toEqual([
      false,
      undefined,
      CLOSED,
    ]);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('destroys a link that connects after `close()`', async () => {
    const ready = rejectionOf(stage.connection.ready());
    stage.link.isDeaf = true;
    stage.connection.close();
    stage.link.isDestroyed = false;
    stage.link.open();
    expect([await ready, stage.link.isDestroyed, stage.prepared.size]).toEqual([CLOSED, true, 0]);
  });

  it('leaves no timer when its client cannot be stopped while it connects', async () => {
    const ready = stage.connection.ready();
    stage.link.isDeaf = true;
    stage.connection.close();
    expect([await outcomeOf(ready), jest.getTimerCount()]).toEqual([{ state: 'rejected', reason: CLOSED }, 0]);
  });
});
