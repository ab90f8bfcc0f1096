import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { BackendUnavailableError } from 'sluice';
import { Holder } from './consumers.js';
import { eventually } from './eventually.js';
import { failureOf } from './promises.js';
import type { BackendClass, ProviderUrls } from './provider.js';
import { recordingLogger } from './recording-logger.js';
import { StrangeServer } from './servers/strange-server.js';

/** A publish timeout that is longer than any test. A publish that waits for it fails the test. */
const NEVER = 600_000;

/**
 * Servers that a queue does not expect, and queues that connect to them. Both close after each
 * test.
 */
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

  /** Starts a server and returns its URL. @param serve handles each connection */
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

  /** Returns a URL where a server no longer listens. */
  async none(): Promise<string> {
    const server = await StrangeServer.start(() => {});
    const { port } = server;
    await server.stop();
    return this.#url(port);
  }

  /** Checks that `publish` and `stats` fail permanently before the publish timeout and say why. */
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

  /** Checks that `publish` fails after its timeout, since the server may recover, and says why. */
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

/** The messages about a server that closes every connection, never answers, or does not exist. */
interface Whys {
  readonly closing: RegExp;
  readonly silent: RegExp;
  readonly none: RegExp;
}

/** Tests servers that may recover. */
export function absentServers(strange: StrangeServers, { closing, silent, none }: Whys): void {
  it('rejects a publish after its timeout if the server closes every connection', async () => {
    await strange.failsInTime(await strange.start((socket) => socket.destroy()), closing);
  });

  it('rejects a publish after its timeout if the server never answers', async () => {
    await strange.failsInTime(await strange.start(() => {}), silent);
  });

  it('rejects a publish after its timeout if no server is running', async () => {
    await strange.failsInTime(await strange.none(), none);
  });
}
