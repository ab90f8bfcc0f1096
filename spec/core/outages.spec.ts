import { Outages } from '../../src/core/outages.js';
import { recordingLogger } from '../support/recording-logger.js';
import { fakeTime } from './fakes.js';

// Longer than connections must be restored before an outage ends.
const CALM = 1000;

const reset = new Error('reset by peer');
const refused = new Error('connection refused');
const wrongPassword = new Error('wrong password');

let logger: ReturnType<typeof recordingLogger>;

beforeEach(() => {
  fakeTime();
  logger = recordingLogger();
});

afterEach(() => jest.useRealTimers());

const connect = (options: Partial<ConstructorParameters<typeof Outages>[0]> = {}) =>
  new Outages({ server: 'Broker at here:1', queue: 'orders', connection: 'publishing', logger, ...options });

const pass = (milliseconds: number) => jest.advanceTimersByTime(milliseconds);

describe('Outages', () => {
  it('logs the loss and the end of one connection, in one line each', () => {
    const connection = connect();
    connection.lost(reset);
    for (let n = 0; n < 6; n++) {
      pass(2000);
      connection.failed(refused, false);
    }
    connection.connected();
    pass(CALM);
    expect(logger.warnings).toEqual([
      'Queue "orders" lost the connection to Broker at here:1: Error: reset by peer. Reconnecting.',
      'Reconnected to Broker at here:1 after 12.0 s, 7 attempts',
    ]);
    expect(logger.errors).toEqual([]);
  });

  it('logs the error of each attempt at debug only', () => {
    const details: unknown[] = [];
    const debugged: unknown[] = [];
    const recording = {
      ...logger,
      warn: (_: string, each?: object) => details.push(each),
      debug: (_: string, each?: object) => debugged.push(each),
    };
    const connection = connect({ logger: recording });
    connection.lost(reset);
    connection.failed(refused, false);
    connection.connected();
    pass(CALM);
    expect(details).toEqual([{ queue: 'orders' }, { queue: 'orders' }]);
    expect(debugged).toEqual([
      { queue: 'orders', error: reset },
      { queue: 'orders', error: refused },
    ]);
  });

  it('logs nothing for a connection that works immediately, or that is closed', () => {
    const connection = connect();
    connection.connected();
    connection.left();
    pass(CALM);
    expect([logger.warnings, logger.debugs, jest.getTimerCount()]).toEqual([[], [], 0]);
  });

  it('logs one loss and one end for many connections that are lost at different times', () => {
    const connections = Array.from({ length: 50 }, (_, index) => connect({ queue: `q${index}` }));
    for (const connection of connections) {
      connection.lost(reset);
      connection.failed(refused, false);
      pass(100);
    }
    for (const connection of connections) {
      connection.connected();
      pass(100);
    }
    pass(CALM);
    expect(logger.warnings).toEqual([
      'Queue "q0" lost the connection to Broker at here:1: Error: reset by peer. Reconnecting.',
      'Reconnected to Broker at here:1 after 9.9 s, 2 attempts, 50 connections',
    ]);
    expect(logger.debugs).toHaveLength(100);
  });

  it('continues if another connection is lost soon after the first is restored', () => {
    const [first, second] = [connect(), connect()];
    first.lost(reset);
    first.connected();
    pass(200);
    second.lost(reset);
    pass(3000);
    second.connected();
    pass(CALM);
    expect(logger.warnings).toEqual([
      expect.stringContaining('lost the connection'),
      'Reconnected to Broker at here:1 after 3.2 s, 1 attempt, 2 connections',
    ]);
  });

  it('counts a connection that is lost repeatedly once', () => {
    const connection = connect();
    for (let n = 0; n < 3; n++) {
      connection.lost(reset);
      connection.connected();
      pass(100);
    }
    pass(CALM);
    expect(logger.warnings).toEqual([
      expect.stringContaining('lost the connection'),
      'Reconnected to Broker at here:1 after 0.2 s, 3 attempts',
    ]);
  });

  it('logs once when the server refuses connections after a loss', () => {
    const [first, second] = [connect(), connect()];
    first.lost(reset);
    second.lost(reset);
    for (const connection of [first, second, first]) connection.failed(wrongPassword, true);
    first.connected();
    second.connected();
    pass(CALM);
    expect(logger.warnings).toEqual([
      expect.stringContaining('lost the connection'),
      'Queue "orders" cannot connect to Broker at here:1: Error: wrong password. Trying again.',
      'Reconnected to Broker at here:1 after 0.0 s, 3 attempts, 2 connections',
    ]);
  });

  it('waits only for connections that are down', () => {
    const [closed, open] = [connect(), connect()];
    closed.lost(reset);
    open.lost(reset);
    pass(1000);
    open.connected();
    pass(59_000);
    expect(logger.warnings).toHaveLength(1);
    closed.left();
    pass(CALM);
    expect(logger.warnings.slice(1)).toEqual(['Reconnected to Broker at here:1 after 1.0 s, 1 attempt']);
  });

  it('does not log closed connections as reconnected', () => {
    const connections = [connect(), connect()];
    for (const connection of connections) connection.lost(reset);
    for (const connection of connections) connection.failed(refused, false);
    for (const connection of connections) connection.left();
    expect(jest.getTimerCount()).toBe(0);
    pass(CALM);
    expect(logger.warnings).toEqual([expect.stringContaining('lost the connection')]);
  });

  it('distinguishes servers and loggers', () => {
    const other = recordingLogger();
    const all = [connect(), connect({ server: 'Broker at there:2' }), connect({ logger: other })];
    for (const connection of all) connection.lost(reset);
    for (const connection of all) connection.connected();
    pass(CALM);
    expect(logger.warnings).toEqual([
      expect.stringContaining('lost the connection to Broker at here:1'),
      expect.stringContaining('lost the connection to Broker at there:2'),
      expect.stringContaining('Reconnected to Broker at here:1'),
      expect.stringContaining('Reconnected to Broker at there:2'),
    ]);
    expect(other.warnings).toHaveLength(2);
  });

  it.each(['connected', 'left'] as const)('starts a new outage after one that ended with %s()', (end) => {
    const [connection, other] = [connect(), connect()];
    for (const each of [connection, other]) {
      each.lost(reset);
      each.failed(refused, true);
      each.failed(refused, true);
    }
    for (const each of [connection, other]) each[end]();
    pass(60_000);
    logger.warnings.length = 0;
    connection.lost(reset);
    pass(2000);
    connection.failed(refused, true);
    connection.connected();
    pass(CALM);
    expect(logger.warnings).toEqual([
      expect.stringContaining('lost the connection'),
      expect.stringContaining('cannot connect'),
      'Reconnected to Broker at here:1 after 2.0 s, 2 attempts',
    ]);
  });

  it('names the same queue at the beginning and at the end', () => {
    const queues: unknown[] = [];
    const recording = {
      ...logger,
      warn: (_: string, details?: object) => queues.push((details as { queue: string }).queue),
    };
    const connections = ['orders', 'invoices'].map((queue) => connect({ queue, logger: recording }));
    for (const connection of connections) connection.lost(reset);
    for (const connection of connections) connection.connected();
    pass(CALM);
    expect(queues).toEqual(['orders', 'orders']);
  });

  it('does not keep the process alive', () => {
    const setTimeout = jest.spyOn(globalThis, 'setTimeout');
    const connection = connect();
    connection.lost(reset);
    expect(jest.getTimerCount()).toBe(0);
    connection.connected();
    expect(setTimeout.mock.results.map(({ value }) => value.hasRef())).toEqual([false]);
  });
});
