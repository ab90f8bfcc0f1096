import { Refusals } from '../../src/core/refusals.js';
import { recordingLogger } from '../support/recording-logger.js';
import { fakeTime } from './fakes.js';

beforeEach(fakeTime);

afterEach(() => jest.useRealTimers());

describe('Refusals', () => {
  it('are logged each time they begin and end', () => {
    const logger = recordingLogger();
    const refusals = new Refusals({
      engine: 'Broker',
      queue: 'orders',
      requests: 'publishes to queue "orders"',
      logger,
    });
    refusals.end();
    for (const times of [6, 1]) {
      for (let n = 1; n <= times; n++) {
        refusals.add(new Error(`too full ${n}`));
        expect(refusals.last).toEqual(new Error(`too full ${n}`));
        jest.advanceTimersByTime(2000);
      }
      refusals.end();
      refusals.end();
      expect(refusals.last).toBeUndefined();
    }
    expect(logger.warnings).toEqual([
      'Broker refuses publishes to queue "orders", trying again: Error: too full 1',
      'Broker accepts publishes to queue "orders" again after 12.0 s, 7 attempts',
      'Broker refuses publishes to queue "orders", trying again: Error: too full 1',
      'Broker accepts publishes to queue "orders" again after 2.0 s, 2 attempts',
    ]);
    expect(logger.debugs).toHaveLength(2);
  });
});
