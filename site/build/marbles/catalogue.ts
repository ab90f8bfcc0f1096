/** A diagram of the site: a test, and the words for what its marbles mean. */
export interface CatalogueEntry {
  /** The file of the test. */
  readonly spec: string;
  /** The title of the test. */
  readonly test: string;
  /** What is between the inputs and the outputs. */
  readonly operator: string;
  /** What the marbles are, in the order of the test. */
  readonly rows: readonly string[];
  readonly caption: string;
}

const HANDLE = 'spec/operators/handle-marbles.spec.ts';
const IN_BATCHES = 'spec/operators/in-batches-marbles.spec.ts';
const OPERATORS = 'spec/operators/marbles.spec.ts';
const BRIDGE = 'spec/bridge/marbles.spec.ts';

/** The diagrams of each function. Markdown names them: `<!-- marbles: handle -->`. */
export const catalogue: Readonly<Record<string, readonly CatalogueEntry[]>> = {
  handle: [
    {
      spec: HANDLE,
      test: 'runs as many handlers at a time as the concurrency',
      operator: 'handle(work, { concurrency: 2 })',
      rows: ['published', 'results'],
      caption:
        'Five messages arrive at once, and each takes 5 ms. Two handlers run at a time. The next one starts when one ' +
        'has finished.',
    },
    {
      spec: HANDLE,
      test: 'retries after the delay',
      operator: 'handle(fragile, { retry: { delay: (error, n) => n * 4 } })',
      rows: ['published', 'results'],
      caption:
        'The handler fails at the first and the second attempt at `a`. The retries follow after 4 ms and after 8 ms. ' +
        '`b` does not wait for them.',
    },
    {
      spec: HANDLE,
      test: 'retries in place and delays only its own key',
      operator: "handle(fragile, { orderBy: 'key', retry: { delay: 8 } })",
      rows: ['published', 'results'],
      caption:
        'The first `a` fails and is retried in place after 8 ms. Later messages with the key `a` wait behind it, so that ' +
        'their order stays. Those with the key `b` do not wait.',
    },
    {
      spec: HANDLE,
      test: 'ends a handler after its timeout',
      operator: 'handle(slow, { timeout: 5, retry: { count: 0 } })',
      rows: ['published', 'outcomes', 'results'],
      caption:
        'The handlers of `a` and `c` never end, so each fails after 5 ms, and the next message starts. `b` takes 2 ms and ' +
        'has a result.',
    },
    {
      spec: HANDLE,
      test: 'publishes a failed message to the dead letter queue in the same frame',
      operator: 'handle(fail, { deadLetter, retry: { count: 2, delay: 2 } })',
      rows: ['published', 'results', 'dead letter queue'],
      caption:
        'Every attempt fails. After two retries, with 2 ms before each, the message is given up, and is in the dead ' +
        'letter queue at once. Nothing is emitted, and the stream does not fail.',
    },
  ],
  inBatches: [
    {
      spec: IN_BATCHES,
      test: 'emits a full batch, one that has waited, and the last one',
      operator: 'inBatches({ maxSize: 3, maxWait: 5 })',
      rows: ['deliveries', 'batches'],
      caption:
        'The first batch is full. The second one is emitted when its first delivery, `d`, has waited for 5 ms. The end ' +
        'of the source emits the last one.',
    },
    {
      spec: IN_BATCHES,
      test: 'waits for maxWait in each batch if the prefetch is smaller than maxSize',
      operator: 'inBatches({ maxSize: 3, maxWait: 5 })',
      rows: ['published', 'batches'],
      caption:
        'A window against the prefetch: with `prefetch: 2`, only two deliveries are in flight. No batch is ever full, ' +
        'and each one waits for 5 ms.',
    },
  ],
  publishTo: [
    {
      spec: OPERATORS,
      test: 'emits a value when a full queue has room for it',
      operator: 'publishTo(queue, (key) => [key, {}])',
      rows: ['source', 'confirmed', 'handled by the consumer of the queue'],
      caption:
        'The queue has a capacity of 1, and its consumer takes 3 ms for each message. `a` goes to the consumer and ' +
        '`b` waits in the queue. `c` and `d` are confirmed, and emitted, when there is room for them.',
    },
  ],
  filterDeliveries: [
    {
      spec: OPERATORS,
      test: 'passes on what matches and acknowledges the rest in the same frame',
      operator: 'filterDeliveries(({ payload }) => payload.n % 2 === 1)',
      rows: ['deliveries', 'acknowledged by the filter', 'passed on'],
      caption:
        'Odd numbers match and are passed on. The filter acknowledges the others at once, so that they do not keep ' +
        'their credit.',
    },
  ],
  toAsyncIterable: [
    {
      spec: BRIDGE,
      test: 'buffers what arrives while the loop is busy',
      operator: 'for await (const value of toAsyncIterable(source))',
      rows: ['source', 'values in the loop'],
      caption:
        'The loop takes 3 ms for each value. What arrives meanwhile is buffered. The end comes after the last one.',
    },
    {
      spec: BRIDGE,
      test: 'keeps the latest value with a buffer of one that drops the oldest',
      operator: "toAsyncIterable(source, { overflow: 'drop-oldest', capacity: 1 })",
      rows: ['source', 'values in the loop'],
      caption:
        'The loop takes 5 ms for each value, and the buffer holds one. `b` and `c` are dropped, because newer values have ' +
        'arrived: after `a`, the loop gets `d`.',
    },
  ],
  toAsyncBatches: [
    {
      spec: BRIDGE,
      test: 'collects what arrives while the loop is busy',
      operator: 'for await (const batch of toAsyncBatches(source))',
      rows: ['source', 'batches in the loop'],
      caption: 'The loop takes 4 ms for each batch. The next batch is everything that has arrived meanwhile.',
    },
  ],
};
