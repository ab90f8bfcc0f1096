import { totalOf } from '../../src/rabbitmq/counts.js';
import { OneGroupMessages } from '../../src/rabbitmq/one-group.js';

let now = 0;

beforeEach(() => {
  now = 0;
  jest.spyOn(performance, 'now').mockImplementation(() => now);
});

afterEach(() => jest.restoreAllMocks());

describe('OneGroupMessages', () => {
  it('counts the messages for one group among the newest of a group', () => {
    const messages = new OneGroupMessages();
    for (const group of ['a', undefined, 'a', 'b', undefined, 'b']) messages.published(group, 0);
    const counts = (group: string) => [0, 1, 2, 3, 4, 9].map((newest) => messages.countAmong(group, newest));
    // For a, for all, for a, for all.
    expect(counts('a')).toEqual([0, 0, 1, 1, 2, 2]);
    // For all, for b, for all, for b.
    expect(counts('b')).toEqual([0, 1, 1, 2, 2, 2]);
    expect(counts('c')).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it('counts a delayed message as the newest when it is due', () => {
    const messages = new OneGroupMessages();
    messages.published('a', 1000);
    messages.published('a', 10);
    messages.published(undefined, 10);
    messages.published(undefined, 0);
    expect(messages.countAmong('a', 9)).toBe(0);
    now = 10;
    expect([0, 1, 2].map((newest) => messages.countAmong('a', newest))).toEqual([0, 1, 1]);
    now = 1000;
    expect(messages.countAmong('a', 3)).toBe(2);
  });

  it('remembers at least the last 10,000 of each kind', () => {
    const messages = new OneGroupMessages();
    for (let n = 0; n < 35_000; n++) messages.published('a', 0);
    expect(messages.countAmong('a', 10_000)).toBe(10_000);
    expect(messages.countAmong('a', 35_000)).toBeLessThan(20_000);
    for (let n = 0; n < 11_000; n++) messages.published('b', 5);
    now = 5;
    expect(messages.countAmong('b', 11_000)).toBe(10_000);
  });
});

describe('totalOf', () => {
  const counts = (all: number, only: number) => ({
    all: { ready: all, unfinished: all + 1 },
    only: { ready: only, unfinished: only + 1 },
  });

  it('counts each message once', () => {
    expect(totalOf([counts(5, 0), counts(3, 0)])).toEqual({ ready: 5, unfinished: 7 });
    expect(totalOf([counts(5, 3), counts(3, 1)])).toEqual({ ready: 6, unfinished: 8 });
  });

  it('is at least the maximum of all groups and at most their sum', () => {
    expect(totalOf([counts(5, 9), counts(3, 9)])).toEqual({ ready: 8, unfinished: 10 });
    expect(totalOf([counts(0, 9), counts(3, 0)]).ready).toBe(3);
    expect(totalOf([])).toEqual({ ready: 0, unfinished: 0 });
  });
});
