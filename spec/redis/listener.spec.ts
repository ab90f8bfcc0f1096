import type { Connection } from '../../src/core/connection.js';
import { queueKeys } from '../../src/redis/keys.js';
import type { RedisLink } from '../../src/redis/link.js';
import { Listener } from '../../src/redis/listener.js';
import { turns } from '../support/promises.js';

class ErrorReply extends Error {}

/** A connection whose commands get no reply until it is renewed. */
class FakeConnection {
  readonly isReady = true;
  readonly link = this;
  readonly sent: string[] = [];
  #lost: (error: unknown) => void = () => {};

  async send([name = '', sub]: readonly string[]): Promise<unknown> {
    this.sent.push(name);
    if (sub === 'ID') return 7;
    return new Promise((_, reject) => {
      this.#lost = reject;
    });
  }

  renew(cause: unknown): void {
    this.#lost(cause);
  }

  close(): void {}
}

describe('Listener', () => {
  it.each<[how: string, unblock: () => unknown, cause: RegExp]>([
    ['is never answered', () => Promise.reject(new Error('lost before the answer')), /lost/],
    ['is not allowed', () => Promise.reject(new ErrorReply('NOPERM')), /NOPERM/],
    ['succeeds but the blocking read gets no reply', () => 1, /could not be ended/],
    ['finds no blocked client', () => 0, /could not be ended/],
  ])('drops its connection if CLIENT UNBLOCK %s', async (_how, unblock, cause) => {
    const connection = new FakeConnection();
    const other = { link: { send: async () => unblock() } };
    const listener = new Listener({
      connect: () => connection as unknown as Connection<RedisLink>,
      other: other as unknown as Connection<RedisLink>,
      keys: queueKeys('orders'),
      group: 'default',
      consumer: 'me',
    });
    const heard = listener.listen(1, 60_000).then(
      () => 'heard',
      (error: unknown) => error,
    );
    await turns(1);
    expect(connection.sent).toEqual(['XREADGROUP']);
    await listener.cancel();
    expect(String(await heard)).toMatch(cause);
    listener.close();
  });
});
