import { ReadSize } from '../../src/redis/read-size.js';
import { fakeTime } from '../core/fakes.js';

const KB = 1024;
const MINUTE = 60_000;
const ANY = Number.POSITIVE_INFINITY;

/** A reply of several messages. */
const several = (bytes: number) => ({ count: 7, bytes, id: '7-0' });

/** A reply of one message. */
const single = (id: string, bytes = 2000 * KB) => ({ count: 1, bytes, id });

describe('ReadSize', () => {
  beforeEach(fakeTime);

  afterEach(() => jest.useRealTimers());

  const pass = (milliseconds: number) => jest.advanceTimersByTime(milliseconds);

  it('is unlimited, even after a small reply was lost', () => {
    const size = new ReadSize();
    expect(size.bytes).toBe(ANY);
    expect([
      size.lost({ count: 0, bytes: 0, id: '' }),
      size.lost(several(31 * KB)),
      size.lost(single('1-0', 31 * KB)),
    ]).toEqual([false, false, false]);
    expect(size.bytes).toBe(ANY);
  });

  it('shrinks after a large reply was lost and halves with each further loss', () => {
    const size = new ReadSize();
    size.lost(several(100_000 * KB));
    expect(size.bytes).toBe(256 * KB);
    size.lost(several(300 * KB));
    expect(size.bytes).toBe(128 * KB);
    size.lost(several(100 * KB));
    expect(size.bytes).toBe(50 * KB);
    const other = new ReadSize();
    other.lost(several(100 * KB));
    expect(other.bytes).toBe(50 * KB);
  });

  it('is unlimited again a minute after the last loss', () => {
    const size = new ReadSize();
    size.lost(several(1000 * KB));
    pass(MINUTE - 1);
    size.lost(several(300 * KB));
    pass(MINUTE - 1);
    expect(size.bytes).toBe(128 * KB);
    pass(1);
    expect(size.bytes).toBe(ANY);
  });

  it('stays small for longer if large replies are lost again soon after it grew', () => {
    const size = new ReadSize();
    for (const minutes of [1, 8, 64, 512, 1440, 1440]) {
      size.lost(several(1000 * KB));
      pass(minutes * MINUTE - 1);
      expect(size.bytes).toBe(256 * KB);
      pass(1);
      expect(size.bytes).toBe(ANY);
      pass(minutes * MINUTE - 1);
    }
    pass(1);
    size.lost(several(1000 * KB));
    pass(MINUTE);
    expect(size.bytes).toBe(ANY);
  });

  it('reports a message that was read alone and lost five times', () => {
    const size = new ReadSize();
    const tries = [1, 2, 3, 4, 5].map(() => {
      // Other messages arrive meanwhile.
      size.arrived('1-0');
      pass(MINUTE);
      return size.lost(single('2-0'));
    });
    expect(tries).toEqual([false, false, false, false, true]);
    expect(size.bytes).toBe(256 * KB);
  });

  it('does not report a message that arrived, was not read alone or is another one', () => {
    const size = new ReadSize();
    const loseTwice = () => [size.lost(single('2-0')), size.lost(single('2-0'))];
    const tries = [
      ...loseTwice(),
      ...loseTwice(),
      size.arrived('2-0'),
      ...loseTwice(),
      ...loseTwice(),
      size.lost(single('3-0')),
      ...loseTwice(),
      ...loseTwice(),
      size.lost(several(1000 * KB)),
    ];
    expect(tries.filter(Boolean)).toEqual([]);
  });
});
