import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { BackendUnavailableError } from 'sluice';
import { Holder } from './consumers.js';
import { eventually } from './eventually.js';
import { failureOf } from './promises.js';
import type { BackendClass, ProviderUrls } from './provider.js';
import { recordingLogger } from './recording-logger.js';
import { StrangeServer } from './servers/strange-server.js';

/** In milliseconds: longer than a test may take. A publish that waits for its timeout fails the test. */
const NEVER = 600_000;

/** Servers that are not what a queue expects, and queues that turn to them: both end with the test. */
export class StrangeServers {
  readonly #Backend: BackendClass;
  readonly #scheme: string;
  readonly #endings: (() => unknown)[] = [];

  /**
   * To be called at the top of a spec.
   */
  constructor(Backend: BackendClass, { scheme }: ProviderUrls) {
    this.#Backend = Backend;
    this.#scheme = scheme;
    afterEach(async () => {
      for (const end of this.#endings.splice(0).reverse()) await end();
    });
  }

  open(url: string, publishTimeout = NEVER) {
    const logger = recordingLogger();
    const queue = new this.#Backend({ url, name: 'strange', publishTimeout, lease: 300, logger } as never);
    this.#endings.push(() => queue.close());
    return { queue, logger, said: () => [...logger.debugs, ...logger.warnings, ...logger.errors].join('\n') };
  }

  /** Starts one, and gives its URL. @param serve what it does with each connection */
  async start(serve: (socket: Socket) => void): Promise<string> {
    const server = await StrangeServer.start(serve);
    this.#endings.push(() => server.stop());
    return this.#url(server.port);
  }

  async startHttp(): Promise<string> {
    const server = createServer((_request, response) => response.end('hello'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.#endings.push(() => {
      server.close();
      server.closeAllConnections();
    });
    return this.#url((server.address() as AddressInfo).port);
  }

  /** A URL where there was a server just now. */
  async none(): Promise<string> {
    const server = await StrangeServer.start(() => {});
    const { port } = server;
    await server.stop();
    return this.#url(port);
  }

  /** Publishes and consumes: both have to fail for good, long before the timeout of a publish, and to say why. */
  async failsAtOnce(url: string, why: RegExp): Promise<void> {
    const { queue, said } = this.open(url);
    const holder = new Holder(queue);
    const failures = [await failureOf(queue.publish('key', {})), await failureOf(queue.stats())];
    await eventually(() => holder.error !== undefined);
    for (const error of [...failures, holder.error as Error]) {
      expect(error).toMatchObject({
        code: BackendUnavailableError.code,
        retryable: false,
        message: expect.stringMatching(why),
      });
      expect(error.message).toContain('"strange"');
      expect(error.message).toContain(`127.0.0.1:${new URL(url).port}`);
      expect(`${error.message} ${String(error.cause)}`).not.toContain('s3cret');
    }
    expect(said()).not.toContain('s3cret');
  }

  /** Publishes: it may become better, so that fails after its time, and says why. */
  async failsInTime(url: string, why: RegExp, publishTimeout = 2000): Promise<void> {
    const { queue, logger, said } = this.open(url, publishTimeout);
    const holder = new Holder(queue);
    const [error, unanswered] = await Promise.all([failureOf(queue.publish('key', {})), failureOf(queue.stats())]);
    expect(error).toMatchObject({ code: BackendUnavailableError.code, retryable: true });
    expect(error.message).toContain('was not enqueued');
    expect(`${error.message} ${String(error.cause)}`).toMatch(why);
    expect(unanswered).toMatchObject({ code: BackendUnavailableError.code, retryable: true });
    expect(holder.error).toBeUndefined();
    expect(logger.warnings).toHaveLength(1);
    expect(said()).not.toContain('s3cret');
  }

  #url(port: number): string {
    return `${this.#scheme}://user:s3cret@127.0.0.1:${port}`;
  }
}

/** What is said of a server that closes every connection, of one that never answers, and of none. */
interface Whys {
  readonly closing: RegExp;
  readonly silent: RegExp;
  readonly none: RegExp;
}

/** Servers that may yet become well. */
export function absentServers(strange: StrangeServers, { closing, silent, none }: Whys): void {
  it('fails in time when it closes every connection', async () => {
    await strange.failsInTime(await strange.start((socket) => socket.destroy()), closing);
  });

  it('fails in time when it never answers', async () => {
    await strange.failsInTime(await strange.start(() => {}), silent);
  });

  it('fails in time when there is none', async () => {
    await strange.failsInTime(await strange.none(), none);
  });
}
