import { ResponseTimeout } from '../../src/core/response-timeout.js';
import { KeepAlive } from '../../src/redis/keep-alive.js';
import { RedisLink } from '../../src/redis/link.js';
import { checkRedisOptions } from '../../src/redis/options.js';
import { direct } from '../../src/redis/route.js';
import { Server } from '../../src/redis/server.js';
import { fakeTime, pass } from '../core/fakes.js';

class ErrorReply extends Error {}

describe('KeepAlive', () => {
  beforeEach(fakeTime);

  afterEach(() => jest.useRealTimers());

  it('pings each time that nothing was sent for the interval', () => {
    const times: number[] = [];
    const keepAlive = new KeepAlive(() => times.push(performance.now() - startedAt));
    const startedAt = performance.now();
    keepAlive.start(1000);
    jest.advanceTimersByTime(3500);
    expect(times).toEqual([1000, 2000, 3000]);
    keepAlive.used();
    jest.advanceTimersByTime(1001);
    expect(times).toEqual([1000, 2000, 3000, 4500]);
    keepAlive.start(2000);
    jest.advanceTimersByTime(2001);
    expect(times.slice(4)).toEqual([6501]);
  });

  it('does not ping a connection that is in use', () => {
    const ping = jest.fn();
    const keepAlive = new KeepAlive(ping);
    keepAlive.start(1000);
    for (let n = 0; n < 100; n++) {
      keepAlive.used();
      jest.advanceTimersByTime(999);
    }
    expect(ping).not.toHaveBeenCalled();
  });

  it('neither pings nor keeps a timer without an interval or after stop()', () => {
    const ping = jest.fn();
    const keepAlive = new KeepAlive(ping);
    keepAlive.start(Number.POSITIVE_INFINITY);
    expect(jest.getTimerCount()).toBe(0);
    keepAlive.start(1000);
    keepAlive.stop();
    keepAlive.start(1000);
    jest.advanceTimersByTime(100_000);
    expect([ping.mock.calls.length, jest.getTimerCount()]).toEqual([0, 0]);
  });
});

describe('RedisLink', () => {
  beforeEach(fakeTime);

  afterEach(() => jest.useRealTimers());

  it('sends a PING when it is idle, but not while a command waits for its reply', async () => {
    const sent: string[] = [];
    let answer: (reply: unknown) => void = () => {};
    const client = {
      options: { name: 'its own' },
      connect: async () => {},
      destroy: () => {},
      on: () => {},
      sendCommand: ([name = '']: readonly string[]) => {
        sent.push(name);
        if (name === 'PING') return Promise.reject(new ErrorReply('NOPERM'));
        return new Promise((resolve) => {
          answer = resolve;
        });
      },
    };
    const lost = jest.fn();
    const link = new RedisLink({ route: direct(client), responseTimeout: new ResponseTimeout(60_000, 12), lost });
    await link.connect();
    link.keepAlive(1000);
    await pass(2500);
    expect(sent).toEqual(['PING', 'PING']);
    const sending = link.send(['XREADGROUP']);
    await pass(10_000);
    expect(sent).toEqual(['PING', 'PING', 'XREADGROUP']);
    answer(null);
    await sending;
    await pass(1500);
    expect([sent.slice(3), lost.mock.calls]).toEqual([['PING'], []]);
    link.destroy();
    expect(jest.getTimerCount()).toBe(0);
  });
});

describe('Maximum idle time of a connection', () => {
  it.each<[what: string, answer: () => unknown, maxIdle: number]>([
    ['is unlimited if the server closes no idle connection', () => ['timeout', '0'], Number.POSITIVE_INFINITY],
    ['is a third of the timeout of the server', () => ['timeout', '300'], 100_000],
    ['is 20 seconds if the server does not return its timeout', () => 'OK', 20_000],
    ['is 20 seconds if the server has no timeout setting', () => [], 20_000],
    [
      'is 20 seconds if the user may not read the setting',
      () => {
        throw new ErrorReply('NOPERM');
      },
      20_000,
    ],
  ])('%s', async (_what, answer, maxIdle) => {
    const server = new Server(checkRedisOptions({ url: 'redis://localhost' }));
    await server.readIdleTimeout({ send: async () => answer() } as never);
    expect(server.maxIdle).toBe(maxIdle);
  });
});
