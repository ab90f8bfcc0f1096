import { Disconnection } from '../../src/core/disconnection.js';
import { rejectionOf, stateOf, turns } from '../support/promises.js';

describe('End', () => {
  it('lets through what comes before it', async () => {
    const end = new Disconnection();
    expect(await end.before(Promise.resolve(1))).toBe(1);
    expect(await rejectionOf(end.before(Promise.reject('failed')))).toBe('failed');
    end.come('too late');
  });

  it('rejects what has not come, and all that is asked for later', async () => {
    const end = new Disconnection();
    const never = [end.before(new Promise(() => {})), end.before(new Promise(() => {}))];
    expect(await stateOf(never[0] as Promise<unknown>)).toBe('pending');
    end.come('over');
    end.come('again');
    expect(await Promise.all(never.map(rejectionOf))).toEqual(['over', 'over']);
    expect(await rejectionOf(end.before(Promise.resolve(1)))).toBe('over');
    expect(await rejectionOf(end.before(Promise.reject('failed')))).toBe('over');
  });

  it('keeps nothing of what has come', async () => {
    const end = new Disconnection();
    const collected = jest.fn();
    const registry = new FinalizationRegistry(collected);
    for (let n = 0; n < 100; n++) {
      const something = { n };
      registry.register(something, n);
      await end.before(Promise.resolve(something));
    }
    await turns(2);
    const before = process.memoryUsage().heapUsed;
    for (let n = 0; n < 20_000; n++) await end.before(Promise.resolve(new Array(100)));
    // Each of them alone is 800 bytes.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(20_000 * 800);
  });
});
