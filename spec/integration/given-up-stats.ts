import type { QueueBackend } from 'sluice';
import { upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import type { TcpProxy } from '../support/servers/tcp-proxy.js';

/** How many calls are given up while there is no server. */
const GIVEN_UP = 100;

/** More than what a new connection costs beside the counts. */
const A_HANDFUL = 10;

interface Suite {
  proxy(): Promise<{ readonly proxy: TcpProxy; readonly url: string }>;
  open(options: { url: string; publishTimeout: number }): QueueBackend;
}

/**
 * Tests that a backend drops the calls of `stats()` that were given up.
 *
 * @param counted returns how often the server has counted
 */
export function givesUp(suite: Suite, counted: () => number | Promise<number>): void {
  it('asks the server for no stats that were given up before it came back', async () => {
    const { proxy, url } = await suite.proxy();
    await proxy.refuse();
    const queue = suite.open({ url, publishTimeout: 500 });
    for (const error of await Promise.all(upTo(GIVEN_UP).map(() => failureOf(queue.stats()))))
      expect(error).toMatchObject({ name: 'BackendUnavailableError', retryable: true });
    const before = await counted();
    await proxy.accept();
    let asked = 0;
    const answered = () => {
      asked += 1;
      return queue.stats().then(
        () => true,
        () => false,
      );
    };
    await eventually(answered);
    expect((await counted()) - before).toBeLessThan(asked + A_HANDFUL);
  });
}
