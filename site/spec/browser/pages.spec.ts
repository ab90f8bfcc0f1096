import type { Page } from 'playwright-core';
import { builtPages, pathOf, readBuilt, titleOf } from '../support/built-site.js';
import { describeWithSite } from '../support/describe-with-site.js';

/** The pages of each part of the site, such as `guides`. */
const parts = new Map<string, string[]>();
for (const page of builtPages()) {
  const part = page.includes('/') ? page.replace(/\/.*/, '') : 'the top';
  parts.set(part, [...(parts.get(part) ?? []), page]);
}

/** The parts whose pages are all made in the same way. To load each of them anew takes minutes. */
const GENERATED = ['api', 'source'];

/** Opens a page as a reader does who follows a link on another page of the site. */
async function follow(tab: Page, url: string, title: string): Promise<void> {
  await tab.evaluate((url) => {
    const link = document.body.appendChild(document.createElement('a'));
    link.href = url;
    link.click();
    link.remove();
  }, url);
  await tab.waitForFunction(({ url, title }) => location.href === url && document.title === title, { url, title });
}

describeWithSite('The pages', (site) => {
  it.each([...parts])(
    'open without a fault: %s',
    async (part, pages) => {
      const { page: first, faults } = await site.tab();
      // Otherwise each page also loads those that it links to: each is opened anyway.
      await first.context().addInitScript(() => {
        Object.defineProperty(Navigator.prototype, 'connection', { value: { saveData: true } });
      });
      const waiting = [...pages];
      const openAll = async (tab = first) => {
        for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
          const path = pathOf(file);
          if (GENERATED.includes(part) && tab.url() !== 'about:blank')
            await follow(tab, site.server.url(path), titleOf(file));
          else await site.goto(tab, path);
          // Includes what a page does once it has nothing else to do.
          await tab.evaluate(() => new Promise((resolve) => requestIdleCallback(resolve, { timeout: 5_000 })));
          expect({ path, faults: faults.take() }).toEqual({ path, faults: [] });
        }
      };
      await Promise.all([openAll(), openAll(await first.context().newPage())]);
      expect(faults.requests.length).toBeGreaterThan(pages.length);
    },
    600_000,
  );

  it('shows a page of its own for an address that does not exist', async () => {
    const { page, faults } = await site.tab();
    faults.expect(/status 404.*missing\.html|error on the console: .*404.*missing\.html/);
    await site.goto(page, 'missing.html');
    await page.getByText('PAGE NOT FOUND').waitFor();
    await page.getByRole('link', { name: 'home' }).click();
    await page.waitForURL(site.server.url());
    await page.getByRole('heading', { level: 1 }).waitFor();
  });

  it('has a sidebar with all sections', async () => {
    const { page } = await site.open('guides/delivery-guarantees.html');
    const titles = await page.locator('.VPSidebar section.level-0 > .item .text').allInnerTexts();
    for (const title of ['Start', 'Guides', 'Engines', /^Coming from/, 'Write an engine', 'API', 'Internals'])
      expect(titles).toContainEqual(expect.stringMatching(title));
  });

  it('finds an option by local search, and leads to it', async () => {
    const { page } = await site.open('');
    await page.keyboard.press('Control+k');
    await page.locator('.VPLocalSearchBox input').fill('dedupeWindow');
    const result = page.locator('.VPLocalSearchBox .result').first();
    await result.waitFor();
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => url.pathname.endsWith('.html'));
    await page.locator('main :text("dedupeWindow")').first().waitFor();
  });

  it('switches to dark and remembers it', async () => {
    const { page } = await site.open('guides/memory.html', { colorScheme: 'light' });
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await background();
    await page.locator('.VPNavBar').getByRole('switch').click();
    await page.locator('html.dark').waitFor();
    const dark = await background();
    expect(dark).not.toBe(light);
    await page.reload();
    await page.locator('html.dark').waitFor();
    expect(await background()).toBe(dark);
  });

  it('links each guide to its source', async () => {
    const guides = builtPages().filter((page) => page.startsWith('guides/'));
    expect(guides.length).toBeGreaterThan(20);
    for (const guide of guides) expect({ guide, html: readBuilt(guide) }).toEqual({ guide, html: EDIT_LINK });
  });

  it.each(['guides/configuration.html', 'api/'])(
    'leads from a fragment to the option that it names: %s',
    async (start) => {
      const named = builtPages().find((page) => page.startsWith(start) && OPTION_ID.test(readBuilt(page)));
      if (named === undefined) throw new Error(`Expected an option with an id on a page below ${start}`);
      const id = OPTION_ID.exec(readBuilt(named))?.[1] as string;
      const { page } = await site.open(`${pathOf(named)}#${id}`);
      await page.waitForFunction((id) => {
        const { top = -1, bottom = 0 } = document.getElementById(id)?.getBoundingClientRect() ?? {};
        return scrollY > 0 && top >= 0 && bottom <= innerHeight;
      }, id);
    },
  );
});

const EDIT_LINK = expect.stringMatching(/class="[^"]*edit-link-button[^"]*" href="[^"]+"/);

/** An option of a guide, or a property of the API. */
const OPTION_ID = /id="(option-queue[\w-]*|dedupewindow[\w-]*)"/;
