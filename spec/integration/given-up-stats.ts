import type { QueueBackend } from 'sluice';
import { upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import type { TcpProxy } from '../support/servers/tcp-proxy.js';

/** Number of calls that time out while there is no server. */
const GIVEN_UP = 100;

/** More commands than a new connection needs beside the counts. */
const A_HANDFUL = 10;

interface Suite {
  proxy(): Promise<{ readonly proxy: TcpProxy; readonly url: string }>;
  open(options: { url: string; publishTimeout: number }): QueueBackend;
}

/**
 * Tests that a backend drops timed out calls of `stats()`.
 *
 * @param counted returns the number of counts by the server
 */
export function givesUp(suite: Suite, counted: () => number | Promise<number>): void {
  it('does not send timed out stats() requests to the server once it is back', async () => {
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
