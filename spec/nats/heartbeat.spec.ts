import { Heartbeat, Pace } from '../../src/nats/heartbeat.js';

const INTERVAL = 5000;
const PUBLISH_TIMEOUT = 10_000;
const LARGE = 1_000_000;

describe('A heartbeat', () => {
  let sent = 0;
  let received = 0;
  let pings = 0;
  let silentAt: number | undefined;
  let answer: () => void = () => {};
  let heartbeat: Heartbeat | undefined;

  const start = (pace = new Pace(PUBLISH_TIMEOUT), interval = INTERVAL) => {
    heartbeat = new Heartbeat({
      interval,
      pace,
      ping: () => {
        pings += 1;
        return new Promise<void>((resolve) => {
          answer = resolve;
        });
      },
      sent: () => sent,
      received: () => received,
      onSilent: () => {
        silentAt = performance.now();
      },
    });
    return pace;
  };

  /** Returns after how many milliseconds from now the heartbeat reports a silent server. */
  const silentAfter = async () => {
    const from = performance.now();
    while (silentAt === undefined && performance.now() - from < 100 * INTERVAL)
      await jest.advanceTimersByTimeAsync(100);
    return silentAt === undefined ? undefined : silentAt - from;
  };

  beforeEach(() => {
    jest.useFakeTimers();
    sent = 0;
    received = 0;
    pings = 0;
    silentAt = undefined;
  });

  afterEach(() => {
    heartbeat?.stop();
    expect(jest.getTimerCount()).toBe(0);
    jest.useRealTimers();
  });

  it('pings once per interval while the server responds', async () => {
    start();
    for (let n = 1; n <= 50; n++) {
      await jest.advanceTimersByTimeAsync(INTERVAL);
      expect(pings).toBe(n);
      answer();
    }
    expect(silentAt).toBeUndefined();
  });

  it('reports a silent server within two intervals', async () => {
    start();
    expect(await silentAfter()).toBeLessThanOrEqual(2 * INTERVAL + 100);
    expect(silentAt).toBeGreaterThan(0);
  });

  it('reports it as soon after many bytes, and gives the next connection four times longer for as many', async () => {
    const pace = start();
    sent += LARGE;
    expect(await silentAfter()).toBeLessThanOrEqual(2 * INTERVAL + 100);
    silentAt = undefined;
    start(pace);
    sent += LARGE;
    const longer = await silentAfter();
    expect(longer).toBeGreaterThanOrEqual(6 * INTERVAL);
    expect(longer).toBeLessThanOrEqual(6 * INTERVAL + 100);
  });

  it('gives no more time for few bytes, however slow the link was', async () => {
    const pace = start();
    sent += LARGE;
    await silentAfter();
    silentAt = undefined;
    start(pace);
    sent += LARGE / 1000;
    expect(await silentAfter()).toBeLessThanOrEqual(2.1 * INTERVAL);
  });

  it('gives at most eight intervals', async () => {
    const pace = start();
    for (let n = 0; n < 5; n++) {
      sent += LARGE;
      await silentAfter();
      silentAt = undefined;
      start(pace);
    }
    sent += 100 * LARGE;
    expect(await silentAfter()).toBeLessThanOrEqual(9 * INTERVAL + 100);
  });

  it('gives a large message up to the timeout of a publish', async () => {
    const publishTimeout = 45_000;
    const pace = new Pace(publishTimeout);
    // A lease of five seconds, and a link of 80,000 bytes per second.
    const interval = 5000 / 6;
    const needed = LARGE / 80;
    const startedAt = performance.now();
    for (let connectedAt = startedAt, arrived = false; !arrived; ) {
      silentAt = undefined;
      start(pace, interval);
      sent += LARGE;
      while (silentAt === undefined && !arrived) {
        await jest.advanceTimersByTimeAsync(100);
        arrived = performance.now() - connectedAt >= needed;
      }
      connectedAt = performance.now();
      expect(connectedAt - startedAt).toBeLessThan(publishTimeout);
    }
  });

  it.each([
    ['a publish may take', LARGE * 100, 20 * INTERVAL],
    ['the slowest link takes', LARGE, LARGE / 20],
  ])('gives at most %s', async (_what, bytes, longest) => {
    const pace = new Pace(20 * INTERVAL);
    for (let n = 0; n < 5; n++) pace.late(bytes, INTERVAL);
    start(pace);
    sent += bytes;
    const after = await silentAfter();
    expect(after).toBeGreaterThanOrEqual(INTERVAL + longest);
    expect(after).toBeLessThanOrEqual(INTERVAL + longest + 100);
  });

  it('reports a dead link as soon after few bytes, however long a publish may take', async () => {
    const pace = new Pace(20 * INTERVAL);
    for (let n = 0; n < 5; n++) pace.late(LARGE, INTERVAL);
    start(pace);
    expect(await silentAfter()).toBeLessThanOrEqual(2 * INTERVAL + 100);
  });

  it('ignores the bytes before the last answered ping', async () => {
    const pace = new Pace(PUBLISH_TIMEOUT);
    pace.late(LARGE, INTERVAL);
    start(pace);
    sent += LARGE;
    await jest.advanceTimersByTimeAsync(INTERVAL);
    answer();
    expect(await silentAfter()).toBeLessThanOrEqual(2 * INTERVAL + 100);
  });

  it('waits while many bytes arrive, and no longer', async () => {
    start();
    for (let n = 0; n < 20; n++) {
      await jest.advanceTimersByTimeAsync(INTERVAL);
      received += LARGE / 10;
    }
    expect(silentAt).toBeUndefined();
    expect(pings).toBe(1);
    expect(await silentAfter()).toBeLessThanOrEqual(2 * INTERVAL + 100);
  });

  it('does not mistake heartbeats of consumers for a response', async () => {
    start();
    const timer = setInterval(() => {
      received += 150;
    }, 500);
    expect(await silentAfter()).toBeLessThanOrEqual(2 * INTERVAL + 100);
    clearInterval(timer);
  });

  it('stops pinging after stop(), and after a lost connection', async () => {
    start();
    await jest.advanceTimersByTimeAsync(INTERVAL);
    heartbeat?.stop();
    answer();
    expect(await silentAfter()).toBeUndefined();
    expect(pings).toBe(1);
  });
});

describe('The pace of a link', () => {
  it('is fast again after a hundred responses in the usual time', () => {
    const pace = new Pace(PUBLISH_TIMEOUT);
    pace.late(LARGE, INTERVAL);
    expect(pace.timeFor(LARGE, INTERVAL)).toBe(5 * INTERVAL);
    for (let n = 0; n < 99; n++) pace.answered(1, INTERVAL);
    pace.answered(INTERVAL + 1, INTERVAL);
    for (let n = 0; n < 99; n++) pace.answered(1, INTERVAL);
    expect(pace.timeFor(LARGE, INTERVAL)).toBe(5 * INTERVAL);
    pace.answered(1, INTERVAL);
    expect(pace.timeFor(LARGE, INTERVAL)).toBe(INTERVAL);
  });

  it('does not change if a link dies after few bytes', () => {
    const pace = new Pace(PUBLISH_TIMEOUT);
    pace.late(1000, INTERVAL);
    expect(pace.timeFor(LARGE, INTERVAL)).toBe(INTERVAL);
  });
});
