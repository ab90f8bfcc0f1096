import { OwnReleases } from '../../src/core/own-releases.js';

describe('OwnReleases', () => {
  it('counts per message, until it is deleted', () => {
    const releases = new OwnReleases();
    for (const message of ['a', 'b', 'a']) releases.add(message);
    expect(['a', 'b', 'c'].map((message) => releases.of(message))).toEqual([2, 1, 0]);
    releases.delete('a');
    expect([releases.of('a'), releases.of('b')]).toEqual([0, 1]);
    releases.clear();
    expect(releases.of('b')).toBe(0);
  });

  it('forgets the oldest of more than ten thousand', () => {
    const releases = new OwnReleases();
    for (let n = 0; n < 10_000; n++) releases.add(`${n}`);
    releases.add('0');
    releases.add('one more');
    expect(['0', '1', '2', 'one more'].map((message) => releases.of(message))).toEqual([2, 0, 1, 1]);
  });
});
