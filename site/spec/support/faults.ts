import type { BrowserContext } from 'playwright-core';

/** What went wrong in the pages of a context, which a reader would not see. */
export class Faults {
  /** The URLs of all requests. */
  readonly requests: string[] = [];
  readonly #faults: string[] = [];
  readonly #expected: RegExp[] = [];

  /** @param root the URL below which everything is that pages may request */
  constructor(context: BrowserContext, root: string) {
    context.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning')
        this.#faults.push(`${message.type()} on the console: ${message.text()} (${message.location().url})`);
    });
    context.on('weberror', (fault) => this.#faults.push(`uncaught: ${fault.error().stack}`));
    context.on('request', (request) => {
      this.requests.push(request.url());
      if (!request.url().startsWith(root) && !/^(data|blob|about):/.test(request.url()))
        this.#faults.push(`requested from outside of the site: ${request.url()}`);
    });
    context.on('requestfailed', (request) => {
      const reason = request.failure()?.errorText;
      // The page has gone, and with it what it had begun to load.
      if (reason !== 'net::ERR_ABORTED') this.#faults.push(`request failed: ${request.url()} (${reason})`);
    });
    context.on('response', (response) => {
      if (response.status() >= 400) this.#faults.push(`status ${response.status()}: ${response.url()}`);
    });
  }

  /** Announces a fault that a test causes on purpose. */
  expect(fault: RegExp): void {
    this.#expected.push(fault);
  }

  /** Returns the faults since the last call, except the announced ones. */
  take(): readonly string[] {
    return this.#faults.splice(0).filter((fault) => !this.#expected.some((expected) => expected.test(fault)));
  }
}
