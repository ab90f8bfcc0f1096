import { Subscriber } from 'rxjs';
import type { Delivery } from '../../src/backend.js';
import { Credit } from '../../src/bridge/credit.js';
import type { Connection } from '../../src/core/connection.js';
import { EngineErrors, type ErrorRules } from '../../src/core/engine-errors.js';
import { type GroupHost, GroupLoop, type GroupSession } from '../../src/core/group-loop.js';
import { turns } from '../support/promises.js';
import { silentLogger as logger } from '../support/recording-logger.js';

const link = { connect: async () => {}, destroy: () => {} };

class FakeSession implements GroupSession<typeof link> {
  hasWork = true;
  readonly calls: string[] = [];
  readonly host: GroupHost;
  /** Resolves `leave()`. */
  left = () => {};

  constructor(host: GroupHost) {
    this.host = host;
  }

  turnEnded(): void {
    this.calls.push('turnEnded');
  }

  async flush(): Promise<void> {
    this.calls.push('flush');
    this.hasWork = false;
  }

  async settle(): Promise<boolean> {
    return true;
  }

  giveUp(): void {}

  async settled(): Promise<void> {}

  leave(): Promise<void> {
    this.calls.push('leave');
    return new Promise((resolve) => {
      this.left = resolve;
    });
  }

  stop(): void {
    this.calls.push('stop');
  }
}

describe('GroupLoop while it closes', () => {
  const open = (isReady: boolean) => {
    const connection = {
      isReady,
      link,
      onChange: () => () => {},
      acquire: () => (isReady ? Promise.resolve(link) : new Promise(() => {})),
    };
    const rules: ErrorRules = { engine: 'Fake', classify: () => 'fatal', explain: () => undefined };
    let session!: FakeSession;
    const loop = new GroupLoop<typeof link>({
      queueName: 'orders',
      group: 'default',
      connection: connection as unknown as Connection<typeof link>,
      failures: new EngineErrors(rules, { queue: 'orders', server: 'here' }),
      logger,
      createSession: (host) => {
        session = new FakeSession(host);
        return session;
      },
    });
    loop.connect(new Subscriber<Delivery>(), {
      group: 'default',
      prefetch: 1,
      credit: new Credit(1),
      signal: undefined,
      watched: false,
    });
    return { loop, session };
  };

  it('calls turnEnded() in each turn with a change, and flushes if there is work', async () => {
    const { loop, session } = open(true);
    await turns(2);
    expect(session.calls).toEqual(['turnEnded', 'flush']);
    loop.wake();
    loop.wake();
    await turns(2);
    expect(session.calls).toEqual(['turnEnded', 'flush', 'turnEnded']);
    loop.abandon();
  });

  it('does not flush while the session leaves', async () => {
    const { loop, session } = open(true);
    await turns(2);
    session.calls.length = 0;
    const closed = loop.close();
    await turns(1);
    session.hasWork = true;
    loop.wake();
    await turns(2);
    session.left();
    await closed;
    expect(session.calls.filter((call) => call !== 'turnEnded')).toEqual(['leave', 'stop']);
  });

  it('closes immediately if a flush waits for a connection', async () => {
    const { loop, session } = open(false);
    await turns(2);
    await loop.close();
    expect(session.calls).toEqual(['turnEnded', 'stop']);
  });
});
