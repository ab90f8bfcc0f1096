import { InvalidMessageError } from 'sluice';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

describeWithRedis('A large payload', () => {
  const suite = new RedisSuite();

  it.each([
    ['fits in a string', '\u0001', 18_000_000, /got more than a string can hold/],
    ['Redis accepts', '€', 36_000_000, /got 5400000\d\d bytes/],
  ])(
    'is refused before it is sent if it is larger than %s',
    async (_what, character, times, got) => {
      const queue = suite.open();
      await queue.stats();
      // JSON repeats the string.
      const part = character.repeat(times);
      const error = await failureOf(queue.publish('key', { parts: Array.from({ length: 5 }, () => part) }));
      expect(InvalidMessageError.is(error)).toBe(true);
      expect(error).toMatchObject({ path: 'payload', message: expect.stringContaining('536870912 bytes') });
      expect(error.message).toMatch(got);
      expect(await suite.length()).toBe(0);
      expect(await suite.connections()).toHaveLength(1);
    },
    60_000,
  );

  it('arrives complete and in order among small ones, also with a delay', async () => {
    const queue = suite.open();
    const text = 'x😀'.repeat(1_000_000);
    const published = [0, 1, 2, 3].map((n) => queue.publish('key', { n, text: n % 2 === 0 ? text : '' }));
    published.push(queue.publish('key', { n: 4, text }, { delay: 50 }));
    await Promise.all(published);
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length === 5);
    expect(holder.numbers).toEqual([0, 1, 2, 3, 4]);
    expect(holder.deliveries.map(({ payload }) => (payload as { text: string }).text === text)).toEqual([
      true,
      false,
      true,
      false,
      true,
    ]);
  });
});
