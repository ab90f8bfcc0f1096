import { Disconnection } from '../../src/core/disconnection.js';
import { rejectionOf, stateOf, turns } from '../support/promises.js';

describe('Disconnection', () => {
  it('passes earlier results', async () => {
    const end = new Disconnection();
    expect(await end.before(Promise.resolve(1))).toBe(1);
    expect(await rejectionOf(end.before(Promise.reject('failed')))).toBe('failed');
    end.come('too late');
  });

  it('rejects pending and later calls', async () => {
    const end = new Disconnection();
    const never = [end.before(new Promise(() => {})), end.before(new Promise(() => {}))];
    expect(await stateOf(never[0] as Promise<unknown>)).toBe('pending');
    end.come('over');
    end.come('again');
    expect(await Promise.all(never.map(rejectionOf))).toEqual(['over', 'over']);
    expect(await rejectionOf(end.before(Promise.resolve(1)))).toBe('over');
    expect(await rejectionOf(end.before(Promise.reject('failed')))).toBe('over');
  });

  it('retains no settled result', async () => {
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
    // Each result alone has 800 bytes.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(20_000 * 800);
  });
});
