import { randomUUID } from 'node:crypto';
import type { ServerProcess } from './servers/server-process.js';
import { TcpProxy } from './servers/tcp-proxy.js';

/** Longer than a server waits for its own start on a busy machine. */
const START_DEADLINE = 70_000;

/** A server for the tests of a suite, and a queue name for each test. Closes what a test opens. */
export abstract class ServerSuite<Server extends ServerProcess & { readonly url: string }> {
  /** The name of this test's queue. */
  name = '';
  #server: Server | undefined;
  readonly #endings: (() => unknown)[] = [];

  /** Call it in the suite's `describe`. */
  constructor(start: () => Promise<Server>) {
    beforeAll(async () => {
      this.#server = await start();
    }, START_DEADLINE);
    beforeEach(() => {
      this.name = randomUUID();
    });
    afterEach(async () => {
      for (const end of this.#endings.splice(0).reverse()) await end();
      // A failed test may have left the server down or frozen.
      this.#server?.thaw();
      if (this.#server?.pid === undefined) await this.#server?.start();
    });
    afterAll(async () => {
      await this.disconnectOwn();
      await this.#server?.stop();
    });
  }

  get server(): Server {
    if (this.#server === undefined) throw new Error('Expected the suite to have begun');
    return this.#server;
  }

  get url(): string {
    return this.server.url;
  }

  /** Starts a proxy in front of the server. Returns it with its URL. */
  async proxy(): Promise<{ readonly proxy: TcpProxy; readonly url: string }> {
    const proxy = await TcpProxy.start(this.server.port);
    this.ending(() => proxy.stop());
    const url = new URL(this.url);
    url.port = String(proxy.port);
    return { proxy, url: url.href };
  }

  /** Runs a function at the end of the test. */
  ending(end: () => unknown): void {
    this.#endings.push(end);
  }

  /** Closes the suite's own connection, before the server stops. */
  protected abstract disconnectOwn(): unknown;
}
