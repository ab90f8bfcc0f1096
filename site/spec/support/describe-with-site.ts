import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { describeBy } from '../../../spec/support/servers/describe-with.js';
import { builtBase, DIST } from './built-site.js';
import { Faults } from './faults.js';
import { verdictOnChromium } from './find-chromium.js';
import { hydrated, launchChromium } from './launch-chromium.js';
import { StaticServer } from './static-server.js';

/** Longer than a step takes on a busy machine, but shorter than a test's timeout. */
const DEADLINE = 60_000;

/** The built site in a browser, for the tests of a suite. Closes the pages after each test. */
export class Site {
  #server: StaticServer | undefined;
  #browser: Browser | undefined;
  readonly #contexts: { readonly context: BrowserContext; readonly faults: Faults }[] = [];

  /** Call it in the suite's `describe`. */
  constructor() {
    beforeAll(async () => {
      this.#server = await StaticServer.start(DIST, builtBase());
      this.#browser = await launchChromium();
    });
    afterEach(async () => {
      const ended = this.#contexts.splice(0);
      await Promise.all(ended.map(({ context }) => context.close()));
      expect(ended.flatMap(({ faults }) => faults.take())).toEqual([]);
    });
    afterAll(async () => {
      await this.#browser?.close();
      await this.#server?.stop();
    });
  }

  get server(): StaticServer {
    if (this.#server === undefined) throw new Error('Expected the suite to have begun');
    return this.#server;
  }

  /** Opens an empty tab, with the faults of its context. */
  async tab(options: BrowserContextOptions = {}): Promise<{ readonly page: Page; readonly faults: Faults }> {
    if (this.#browser === undefined) throw new Error('Expected the suite to have begun');
    const context = await this.#browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    context.setDefaultTimeout(DEADLINE);
    const faults = new Faults(context, this.server.url());
    this.#contexts.push({ context, faults });
    return { page: await context.newPage(), faults };
  }

  /** Opens a page in a new context, see `tab`, and waits until it answers. */
  async open(path: string, options: BrowserContextOptions = {}): Promise<{ page: Page; faults: Faults }> {
    const tab = await this.tab(options);
    await this.goto(tab.page, path);
    return tab;
  }

  /** Loads a page, and waits until it answers. */
  async goto(page: Page, path: string): Promise<void> {
    await page.goto(this.server.url(path), { waitUntil: 'domcontentloaded' });
    await hydrated(page);
  }
}

/**
 * Describes a suite that opens the built site in Chromium. Without Chromium, the suite is skipped
 * with a warning, and fails if `CI` is `true`.
 */
export function describeWithSite(name: string, body: (site: Site) => void): void {
  describeBy(verdictOnChromium(process.env), 'chromium', name, () => body(new Site()));
}
