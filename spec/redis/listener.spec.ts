import type { Connection } from '../../src/redis/connection.js';
import { queueKeys } from '../../src/redis/keys.js';
import { Listener } from '../../src/redis/listener.js';
import { turns } from '../support/promises.js';

class ErrorReply extends Error {}

/** A connection whose commands are never answered before it is renewed. */
class FakeConnection {
  readonly isReady = true;
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
  it.each<[how: string, refusal: Error]>([
    ['is never answered', new Error('The connection was lost before the answer')],
    ['is not allowed', new ErrorReply('NOPERM')],
  ])('drops the connection that it waits on where the command that ends the wait %s', async (_how, refusal) => {
    const connection = new FakeConnection();
    const other = { send: () => Promise.reject(refusal) };
    const listener = new Listener({
      connect: () => connection as unknown as Connection,
      other: other as unknown as Connection,
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
    expect(await heard).toBe(refusal);
    listener.close();
  });
});
