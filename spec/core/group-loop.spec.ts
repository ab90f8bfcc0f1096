import { EngineErrors } from '../../src/core/engine-errors.js';
import { type GroupHost, GroupLoop, type GroupSession } from '../../src/core/group-loop.js';
import { turns } from '../support/promises.js';
import { type FakeLink, Stage } from './fake-link.js';
import { Customer, fakeTime, messageOf, pass } from './fakes.js';

/** A session that follows the test and records its calls. */
class Session implements GroupSession<FakeLink> {
  readonly told: string[] = [];
  hasWork = false;
  flushed = async (): Promise<void> => {
    this.hasWork = false;
  };

  constructor(readonly host: GroupHost) {}

  async begin({ number }: FakeLink): Promise<void> {
    this.told.push(`begin ${number}`);
  }

  async flush({ number }: FakeLink): Promise<void> {
    this.told.push(`flush ${number}`);
    await this.flushed();
  }

  async settle(): Promise<boolean> {
    this.told.push('settle');
    return true;
  }

  giveUp(): void {}

  async settled(): Promise<void> {}

  async leave({ number }: FakeLink): Promise<void> {
    this.told.push(`leave ${number}`);
  }

  stop(): void {}
}

function createLoop(): { stage: Stage; session: Session; loop: GroupLoop<FakeLink> } {
  const stage = new Stage();
  const { logger, connection } = stage;
  const classify = (error: unknown) => (/fatal/.test(String(error)) ? ('fatal' as const) : ('retryable' as const));
  const failures = new EngineErrors(
    { engine: 'Broker', classify, explain: () => undefined },
    { queue: 'orders', server: 'here:1' },
  );
  let session!: Session;
  const loop = new GroupLoop<FakeLink>({
    queueName: 'orders',
    group: 'default',
    connection,
    failures,
    logger,
    createSession: (host) => {
      session = new Session(host);
      return session;
    },
  });
  stage.onLink = (link) => link.open();
  return { stage, session, loop };
}

beforeEach(fakeTime);
afterEach(() => jest.useRealTimers());

describe('GroupLoop', () => {
  it('requeues messages in flight on a link that it has not used yet when it is closed', async () => {
    const { stage, session, loop } = createLoop();
    new Customer(loop, 1);
    session.hasWork = true;
    loop.wake();
    await turns(5);
    session.host.deliver(messageOf('1'));
    stage.link.lost(new Error('reset by peer'));
    await turns(5);
    expect(stage.connection.isReady).toBe(true);
    expect(session.told).toEqual(['begin 0', 'flush 0']);
    await loop.close();
    expect(session.told.slice(2)).toEqual(['settle', 'begin 1', 'leave 1']);
  });

  it('does not reconnect repeatedly after a fatal error', async () => {
    const { stage, session, loop } = createLoop();
    const customer = new Customer(loop, 1);
    session.hasWork = true;
    session.flushed = () => Promise.reject(new Error('fatal: no permission'));
    loop.wake();
    await turns(50);
    expect(customer.seen).toEqual([expect.stringContaining('no permission')]);
    expect(stage.links.length).toBeLessThan(3);
    // The next subscriber retries.
    session.flushed = async () => {
      session.hasWork = false;
    };
    const links = stage.links.length;
    const next = new Customer(loop, 1);
    await turns(10);
    expect(stage.links.length).toBe(links + 1);
    expect(next.seen).toEqual([]);
    await loop.close();
    await pass(10_000);
  });
});
