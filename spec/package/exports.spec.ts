import * as sluice from '../../src/index.js';

describe('sluice', () => {
  it('exports these names and no others', () => {
    expect(Object.keys(sluice).sort()).toEqual([
      'BackendNotFoundError',
      'BackendUnavailableError',
      'ConfigurationError',
      'HandlerTimeoutError',
      'InvalidMessageError',
      'MemoryBackend',
      'QueueClosedError',
      'QueueOverflowError',
      'SluiceError',
      'fromAsyncIterable',
      'receive',
      'toAsyncBatches',
      'toAsyncIterable',
    ]);
  });
});
