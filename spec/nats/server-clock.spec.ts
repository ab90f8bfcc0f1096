import { JITTER, ServerClock } from '../../src/nats/server-clock.js';

const SERVER = 1_700_000_000_000;
/** The last message before a reading. */
const LAST = 7;

describe('ServerClock', () => {
  let now = 0;
  let clock: ServerClock;

  beforeEach(() => {
    now = 1000;
    clock = new ServerClock();
    jest.spyOn(performance, 'now').mockImplementation(() => now);
  });

  afterEach(() => jest.restoreAllMocks());

  it('is unknown before the first reading', () => {
    expect(clock.isKnown).toBe(false);
    expect(clock.wasRead(1e9, { sequence: LAST, storedAt: SERVER })).toBe(false);
    expect(clock.read(SERVER, LAST)).toBe(0);
    expect(clock.isKnown).toBe(true);
    expect(clock.now).toBe(SERVER);
  });

  it('advances with the monotonic clock of this process', () => {
    clock.read(SERVER, LAST);
    now += 400;
    expect(clock.now).toBe(SERVER + 400);
    expect(clock.wasRead(400, { sequence: LAST, storedAt: 0 })).toBe(true);
    expect(clock.wasRead(399, { sequence: LAST, storedAt: 0 })).toBe(false);
  });

  it('was not read for a later message that was stored after the clock was set back', () => {
    clock.read(SERVER, LAST);
    expect(clock.wasRead(400, { sequence: LAST + 1, storedAt: SERVER - JITTER })).toBe(true);
    expect(clock.wasRead(400, { sequence: LAST + 1, storedAt: SERVER - JITTER - 1 })).toBe(false);
    clock.read(SERVER - 60_000, LAST + 1);
    expect(clock.wasRead(400, { sequence: LAST + 1, storedAt: SERVER - 60_000 })).toBe(true);
  });

  it('keeps the reading with the shortest transit', () => {
    clock.read(SERVER, LAST);
    now += 50;
    expect(clock.read(SERVER + 20, LAST)).toBe(0);
    expect(clock.now).toBe(SERVER + 50);
    expect(clock.read(SERVER + 60, LAST)).toBe(0);
    expect(clock.now).toBe(SERVER + 60);
  });

  it.each([10_000, -10_000, JITTER + 1, -JITTER - 1])(
    'follows a clock that was set by %d ms, and returns the step',
    (by) => {
      clock.read(SERVER, LAST);
      now += 500;
      expect(clock.read(SERVER + 500 + by, LAST)).toBe(by);
      expect(clock.now).toBe(SERVER + 500 + by);
    },
  );

  it('is never ahead of the latest time that a slow response allows', () => {
    clock.read(SERVER, LAST);
    const asked = now;
    now += 3000;
    // Between the request and the response: the reading says nothing new.
    expect(clock.read(SERVER + 1000, LAST, asked)).toBe(0);
    expect(clock.now).toBe(SERVER + 3000);
    // Before the request: the clock was set.
    expect(clock.read(SERVER - 1, LAST, asked)).toBe(-3001);
    expect(clock.now).toBe(SERVER - 1);
  });
});
