import { DelayedMessages } from '../../src/rabbitmq/delayed-messages.js';

const SECOND = 1000;
const MINUTE = 60 * SECOND;

let now = 0;

beforeEach(() => {
  now = 0;
  jest.spyOn(performance, 'now').mockImplementation(() => now);
});

afterEach(() => jest.restoreAllMocks());

describe('DelayedMessages', () => {
  const open = ({ server = 'host 5672 /', exchange = 'orders', groups = ['a', 'b'] } = {}) => {
    const delayed = DelayedMessages.of(server, exchange);
    for (const group of groups) delayed.addGroup(group);
    const idsOf = (group: string, consumers = 0) => [...delayed.ids(group, consumers)];
    return { delayed, idsOf };
  };

  it('counts a published message in each group until it arrives', () => {
    const { delayed, idsOf } = open();
    delayed.sent('one', SECOND, undefined);
    delayed.sent('two', SECOND, 'b');
    delayed.arrived('a', 'one');
    expect([idsOf('a'), idsOf('b')]).toEqual([[], ['one', 'two']]);
    delayed.failed('one', undefined);
    delayed.arrived('b', 'two');
    expect([idsOf('a'), idsOf('b')]).toEqual([[], []]);
    delayed.release();
  });

  it('counts a message for as long as the broker may retry it', () => {
    const { delayed, idsOf } = open();
    delayed.sent('one', SECOND, undefined);
    now = 6 * MINUTE;
    expect(idsOf('a')).toEqual(['one']);
    now = 6 * MINUTE + 3 * SECOND;
    expect(idsOf('a')).toEqual([]);
    delayed.release();
  });

  it('assumes that another process received a message soon after it was due, if one consumes and nothing failed', () => {
    const { delayed, idsOf } = open();
    let own = 1;
    const left = delayed.subscribed('a', () => own);
    delayed.sent('one', SECOND, undefined);
    now = 2 * SECOND;
    expect(idsOf('a', 2)).toEqual(['one']);
    now += 1;
    // The subscriber of this process has not received it.
    expect([idsOf('a', 1), idsOf('a', 2)]).toEqual([['one'], []]);
    // A subscriber may have two consumers while its prefetch changes, and none while it pauses.
    own = 2;
    expect(idsOf('a', 2)).toEqual(['one']);
    own = 0;
    expect(idsOf('a', 1)).toEqual([]);
    left();
    expect(idsOf('a', 1)).toEqual([]);
    delayed.disturbed();
    expect(idsOf('a', 2)).toEqual(['one']);
    delayed.release();
  });

  it('counts messages that may be late after a failure', () => {
    const { delayed } = open();
    const late = () => ['a', 'b'].map((group) => delayed.countLate(group));
    delayed.sent('one', SECOND, undefined);
    delayed.sent('two', SECOND, 'b');
    delayed.sent('three', MINUTE, undefined);
    now = 2 * SECOND;
    expect(late()).toEqual([0, 0]);
    delayed.disturbed();
    expect(late()).toEqual([1, 2]);
    delayed.arrived('b', 'two');
    expect(late()).toEqual([1, 1]);
    now = MINUTE;
    expect(late()).toEqual([2, 2]);
    now = 6 * MINUTE + 2 * SECOND;
    // The first messages have reached the maximum lateness. Older ones are no longer counted.
    expect(late()).toEqual([2, 2]);
    now += 1;
    expect(late()).toEqual([1, 1]);
    now += SECOND;
    // The failure was too long ago.
    expect(late()).toEqual([0, 0]);
    delayed.release();
  });

  it('is shared by all backends of a queue in this process until the last one is closed', () => {
    const one = open();
    const two = open();
    const others = [open({ exchange: 'invoices' }), open({ server: 'host 5672 other' })];
    one.delayed.sent('one', SECOND, undefined);
    expect([two, ...others].map(({ idsOf }) => idsOf('a'))).toEqual([['one'], [], []]);
    one.delayed.release();
    expect(two.idsOf('a')).toEqual(['one']);
    two.delayed.release();
    for (const other of others) other.delayed.release();
    const next = open();
    expect(next.idsOf('a')).toEqual([]);
    next.delayed.release();
  });
});
