import type { ConsumerConfig, ConsumerInfo, StreamConfig, StreamInfo } from '@nats-io/jetstream';
import { EngineErrors } from '../../src/core/engine-errors.js';
import type { NatsLink } from '../../src/nats/link.js';
import { queueNames } from '../../src/nats/names.js';
import { NATS_FAILURES } from '../../src/nats/nats-errors.js';
import { checkNatsOptions } from '../../src/nats/options.js';
import { Topology } from '../../src/nats/topology.js';
import { silentLogger } from '../support/recording-logger.js';

/** The pause before the queue recreates a stream, in milliseconds. */
const PAUSE = 1000;

const names = queueNames('q');
const failures = new EngineErrors(NATS_FAILURES, { queue: 'q', server: 'localhost' });

const notFound = () => Object.assign(new Error('not found'), { name: 'JetStreamApiError', code: 10059, status: 404 });

/** Responds asynchronously. */
class FakeServer {
  readonly streams = new Map<string, Partial<StreamConfig>>();
  readonly consumers = new Map<string, Partial<ConsumerConfig>>();
  /** When each stream was created, as `performance.now()`. */
  readonly madeAt = new Map<string, number>();

  readonly link = {
    manager: {
      streams: {
        info: (name: string) => this.#find(this.streams, name),
        add: async (config: Partial<StreamConfig> & { readonly name: string }) => {
          this.madeAt.set(config.name, performance.now());
          this.streams.set(config.name, { num_replicas: 1, ...config });
          return this.#find(this.streams, config.name);
        },
      },
      consumers: {
        info: (stream: string, name: string) => this.#find(this.consumers, `${stream} ${name}`),
        add: async (stream: string, config: Partial<ConsumerConfig>) => {
          this.consumers.set(`${stream} ${config.durable_name}`, config);
          return { config } as ConsumerInfo;
        },
      },
    },
  } as unknown as NatsLink;

  /** Restarts, and loses all streams. */
  restart(): void {
    this.streams.clear();
    this.consumers.clear();
    this.madeAt.clear();
  }

  async #find(where: ReadonlyMap<string, object>, name: string) {
    const config = where.get(name);
    if (config === undefined) throw notFound();
    return { config, created: 'then', state: { messages: 0, bytes: 0 } } as unknown as StreamInfo & ConsumerInfo;
  }
}

describe('Topology', () => {
  let server: FakeServer;
  let topology: Topology;

  const open = () => topology.open(server.link);

  beforeEach(() => {
    jest.useFakeTimers();
    server = new FakeServer();
    const options = checkNatsOptions({
      url: 'nats://localhost',
      name: 'q',
      groups: ['default'],
      logger: silentLogger,
    });
    topology = new Topology({ ...options, failures, needed: () => [], beforeNew: async () => {} }, names);
  });

  afterEach(() => {
    expect(jest.getTimerCount()).toBe(0);
    jest.restoreAllMocks();
    jest.useRealTimers();
  });

  it('creates the streams immediately if they never existed', async () => {
    const startedAt = performance.now();
    await open();
    expect([...server.madeAt]).toEqual([
      [names.stream, startedAt],
      [names.delayedStream, startedAt],
    ]);
  });

  it('recreates both streams after one pause', async () => {
    await open();
    server.restart();
    const missedAt = performance.now();
    const opened = open();
    await jest.advanceTimersByTimeAsync(PAUSE - 1);
    expect(server.madeAt.size).toBe(0);
    await jest.advanceTimersByTimeAsync(1);
    await opened;
    expect([...server.madeAt]).toEqual([
      [names.stream, missedAt + PAUSE],
      [names.delayedStream, missedAt + PAUSE],
    ]);
  });

  it('recreates the streams after a pause that begins when the last one was found to be missing', async () => {
    await open();
    server.streams.delete(names.delayedStream);
    const first = open();
    await jest.advanceTimersByTimeAsync(PAUSE / 2);
    server.restart();
    const missedAt = performance.now();
    const second = open();
    await jest.advanceTimersByTimeAsync(PAUSE / 2);
    await first;
    expect([...server.madeAt.keys()]).toEqual([names.delayedStream]);
    await jest.advanceTimersByTimeAsync(PAUSE / 2);
    await second;
    expect(server.madeAt.get(names.stream)).toBe(missedAt + PAUSE);
  });

  it('recreates the streams after one pause, also over another link', async () => {
    await open();
    server.restart();
    const missedAt = performance.now();
    const first = open();
    await jest.advanceTimersByTimeAsync(PAUSE / 2);
    const second = open();
    await jest.advanceTimersByTimeAsync(PAUSE / 2);
    await Promise.all([first, second]);
    expect([...server.madeAt.values()]).toEqual([missedAt + PAUSE, missedAt + PAUSE]);
  });

  it('does not keep the process alive', async () => {
    await open();
    server.restart();
    const setTimer = jest.spyOn(globalThis, 'setTimeout');
    const opened = open();
    await jest.advanceTimersByTimeAsync(0);
    const timers = setTimer.mock.results.map(({ value }) => value as NodeJS.Timeout);
    expect(timers.map((timer) => timer.hasRef())).toEqual([false]);
    await jest.advanceTimersByTimeAsync(PAUSE);
    await opened;
  });
});
