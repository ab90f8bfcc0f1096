import * as sluice from '../../src/index.js';

describe('sluice', () => {
  it('exports these names and no others', () => {
    expect(Object.keys(sluice).sort()).toEqual([
      'AsyncLoopConsumer',
      'BackendNotFoundError',
      'BackendUnavailableError',
      'ConfigurationError',
      'HandlerTimeoutError',
      'InvalidMessageError',
      'MemoryBackend',
      'QueueClosedError',
      'QueueNotFoundError',
      'QueueOverflowError',
      'SluiceError',
      'UnrecoverableError',
      'UnsupportedOperationError',
      'checkDeclared',
      'checkMessage',
      'createStreams',
      'exponentialBackoff',
      'filterDeliveries',
      'fromAsyncIterable',
      'handle',
      'inBatches',
      'intercept',
      'loadBackend',
      'pinoLogger',
      'publishTo',
      'receive',
      'registerBackend',
      'route',
      'toAsyncBatches',
      'toAsyncIterable',
      'viewDelivery',
    ]);
  });
});
