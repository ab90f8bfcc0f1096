import { silentLogger } from '../support/recording-logger.js';
import { runScript } from '../support/run-script.js';

type Library = typeof import('sluice');

/** Where the copies of the library in one process keep their shared turn. */
const SHARED = Symbol.for('sluice.v0.turn');

const { setImmediate: later } = globalThis;

/** The limit of a loop that never lets a macrotask run. */
const TOO_MANY = 20_000_000;

type Fake = () => () => void;

/** Replaces a property. Returns a function that restores it. */
function replaced(object: object, name: string, value: unknown): () => void {
  const original = Object.getOwnPropertyDescriptor(object, name);
  Object.defineProperty(object, name, { value, configurable: true, writable: true });
  return () => {
    if (original === undefined) Reflect.deleteProperty(object, name);
    else Object.defineProperty(object, name, original);
  };
}

const never = () => {};

class SilentChannel {
  readonly port1 = { close: never };
  readonly port2 = { postMessage: never };
}

const primitives: Record<string, Fake> = {
  setTimeout: () => replaced(globalThis, 'setTimeout', never),
  setInterval: () => replaced(globalThis, 'setInterval', never),
  setImmediate: () => replaced(globalThis, 'setImmediate', never),
  queueMicrotask: () => replaced(globalThis, 'queueMicrotask', never),
  'process.nextTick': () => replaced(process, 'nextTick', never),
  Date: () => replaced(globalThis, 'Date', { now: () => 0 }),
  'performance that stands still': () => replaced(globalThis, 'performance', { now: () => 0 }),
  'performance that tells no time': () => replaced(globalThis, 'performance', { now: () => undefined }),
  'performance.now': () => replaced(performance, 'now', () => 0),
  'a MessageChannel that is silent': () => replaced(globalThis, 'MessageChannel', SilentChannel),
  'a MessageChannel that throws': () => replaced(globalThis, 'MessageChannel', never),
  'Atomics.waitAsync': () => replaced(Atomics, 'waitAsync', () => ({ value: new Promise(never) })),
  // As in a page without cross-origin isolation.
  'no SharedArrayBuffer': () => replaced(globalThis, 'SharedArrayBuffer', undefined),
};

const fakes: [string, Fake][] = [
  ...Object.entries(primitives),
  [
    'all timers',
    all(
      'setTimeout',
      'setInterval',
      'setImmediate',
      'queueMicrotask',
      'process.nextTick',
      'Date',
      'performance that stands still',
    ),
  ],
  ['setImmediate and MessageChannel', all('setImmediate', 'a MessageChannel that is silent')],
  ['setImmediate and Atomics.waitAsync', all('setImmediate', 'Atomics.waitAsync')],
  ['setImmediate, and no SharedArrayBuffer', all('setImmediate', 'no SharedArrayBuffer')],
  ["jest's timers", () => jestFakes({})],
  ["jest's timers without a fake clock", () => jestFakes({ doNotFake: ['performance'] })],
  ["jest's legacy timers", () => jestFakes({ legacyFakeTimers: true })],
];

function all(...names: string[]): Fake {
  return () => {
    const restore = names.map((name) => primitives[name]?.());
    return () => {
      for (const undo of restore.reverse()) undo?.();
    };
  };
}

function jestFakes(options: Parameters<typeof jest.useFakeTimers>[0]): () => void {
  jest.useFakeTimers(options);
  return () => jest.useRealTimers();
}

/** A copy of the library with its own turn. */
function load(): Library {
  Reflect.deleteProperty(globalThis, SHARED);
  let library: Library | undefined;
  jest.isolateModules(() => {
    library = require('sluice');
  });
  return library as Library;
}

/** Publishes in a loop of awaits until macrotasks have run. */
async function publishAcrossMacrotasks({ MemoryBackend }: Library): Promise<void> {
  const queue = new MemoryBackend({ capacity: 1, overflow: 'drop-newest', logger: silentLogger });
  let published = 0;
  for (let round = 0; round < 3; round++) {
    let passed = false;
    later(() => {
      passed = true;
    });
    for (; !passed; published++) {
      if (published > TOO_MANY) throw new Error('The loop starves the event loop');
      await queue.publish('key', { n: published });
    }
  }
}

/** Takes batches while values are pushed. */
async function takeBatches({ toAsyncBatches }: Library): Promise<unknown[]> {
  const { Subject } = jest.requireActual<typeof import('rxjs')>('rxjs');
  const source = new Subject<number>();
  const batches = toAsyncBatches(source);
  const first = batches.next();
  source.next(1);
  source.next(2);
  const taken = [(await first).value];
  source.next(3);
  taken.push((await batches.next()).value);
  return taken;
}

describe.each(fakes)('With a fake %s', (_, fake) => {
  let restore = never;

  afterEach(() => {
    restore();
    Reflect.deleteProperty(globalThis, SHARED);
  });

  it('a loop of awaits continues and lets macrotasks run if the fake was installed before the library', async () => {
    restore = fake();
    await publishAcrossMacrotasks(load());
  });

  it('a loop of awaits continues and lets macrotasks run if the fake was installed after the library', async () => {
    const library = load();
    restore = fake();
    await publishAcrossMacrotasks(library);
  });

  it('toAsyncBatches returns each batch once', async () => {
    restore = fake();
    expect(await takeBatches(load())).toEqual([[1, 2], [3]]);
  });
});

it('A process continues a loop of awaits if a fake never fires and nothing else keeps it alive', async () => {
  const script = `
    const queue = new sluice.MemoryBackend({ capacity: 1, overflow: 'drop-newest' });
    for (let n = 0; n < 200_000; n++) await queue.publish('key', { n });
    console.log('end of script');
  `;
  expect(await runScript(script, 'globalThis.setImmediate = () => ({});')).toEqual({
    exit: 0,
    output: 'end of script',
  });
});
