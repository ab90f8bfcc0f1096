import { QueueEvents } from '../../src/core/events.js';
import { recordingLogger } from '../support/recording-logger.js';

const watch = () => {
  const logger = recordingLogger();
  const events = new QueueEvents({ queue: 'orders', logger });
  const seen: string[] = [];
  events.status$.subscribe({ next: (status) => seen.push(status), complete: () => seen.push('completed') });
  return { events, logger, seen };
};

describe("Status of a driver's queue", () => {
  it('follows its connection, and completes after closed', () => {
    const { events, seen } = watch();
    const main = events.addConnection({ server: 'Broker at here:1', connection: 'the queue' });
    main.connecting();
    main.connected();
    main.lost('reset by peer');
    main.connecting();
    main.failed('refused', false);
    main.connecting();
    main.connected();
    events.close();
    main.closed();
    expect(seen).toEqual(['idle', 'connecting', 'connected', 'disconnected', 'connected', 'closed', 'completed']);
  });

  it('is disconnected while one of several connections is', () => {
    const { events, seen } = watch();
    const [main, listener] = ['the queue', 'group "audit"'].map((connection) =>
      events.addConnection({ server: 'Broker at here:2', connection }),
    );
    main?.connected();
    listener?.connecting();
    listener?.connected();
    listener?.lost('reset by peer');
    listener?.closed();
    expect(seen).toEqual(['idle', 'connected', 'disconnected', 'connected']);
  });

  it('is idle only before the first use', () => {
    const { events, seen } = watch();
    const main = events.addConnection({ server: 'Broker at here:3', connection: 'the queue' });
    main.connected();
    main.left();
    main.connecting();
    main.connected();
    expect(seen).toEqual(['idle', 'connected', 'disconnected', 'connecting', 'connected']);
  });

  it('has one order for all subscribers, also if one of them causes the next change', () => {
    const { events } = watch();
    const main = events.addConnection({ server: 'Broker at here:5', connection: 'the queue' });
    const reactions: Partial<Record<string, () => void>> = {
      connecting: () => main.connected(),
      disconnected: () => events.close(),
    };
    events.status$.subscribe((status) => reactions[status]?.());
    const seen: string[] = [];
    events.status$.subscribe({ next: (status) => seen.push(status), complete: () => seen.push('completed') });
    main.connecting();
    main.lost('reset by peer');
    expect(seen).toEqual(['idle', 'connecting', 'connected', 'disconnected', 'closed', 'completed']);
  });

  it('is closed for a late subscriber, then completes', () => {
    const { events } = watch();
    events.close();
    events.close();
    const late: string[] = [];
    events.status$.subscribe({ next: (status) => late.push(status), complete: () => late.push('completed') });
    expect(late).toEqual(['closed', 'completed']);
  });
});

describe('Events of a queue', () => {
  it('contain the connection and everything that metrics count', () => {
    const { events } = watch();
    expect(events.isObserved).toBe(false);
    const types: string[] = [];
    events.events$.subscribe(({ type }) => types.push(type));
    expect(events.isObserved).toBe(true);
    const main = events.addConnection({ server: 'Broker at here:4', connection: 'the queue' });
    main.connecting();
    main.connected();
    main.lost('reset by peer');
    events.emit({ type: 'publish confirmed' });
    events.emit({ type: 'redelivered', group: 'default', id: '1', attempt: 2 });
    expect(types).toEqual(['connecting', 'connected', 'disconnected', 'publish confirmed', 'redelivered']);
  });

  it('cause a log line for a quarantined message', () => {
    const { events, logger } = watch();
    const place = 'the hash "orders:aside"';
    events.emit({ type: 'quarantined', group: 'default', message: 'Entry 1-0', reason: 'is no message', place });
    expect(logger.errors).toEqual(['Entry 1-0 is no message. It is in quarantine, in the hash "orders:aside".']);
  });
});
