import type { Page } from 'playwright-core';
import { violationsOn } from '../support/axe.js';
import { builtPages, pathOf } from '../support/built-site.js';
import { describeWithSite } from '../support/describe-with-site.js';
import { openPlayground } from '../support/open-playground.js';

/** The page of the API for one symbol. */
function apiPage(name: string): string {
  const page = builtPages().find((page) => page.startsWith('api/') && page.endsWith(`/${name}.html`));
  if (page === undefined) throw new Error(`Expected a page of the API for ${name}`);
  return pathOf(page);
}

const kinds = {
  'the start page': '',
  'a guide with a picture': 'guides/retries-and-dead-letters.html',
  'a page of the API': apiPage('handle'),
  'the playground': 'playground.html',
};

const ready = async (page: Page, kind: string) => {
  if (kind === 'the playground') await page.getByTestId('run').waitFor();
  if (kind === 'a guide with a picture') await page.getByTestId('picture').first().waitFor();
};

describeWithSite('Accessibility', (site) => {
  describe.each(Object.entries(kinds))('of %s', (kind, path) => {
    it.each(['light', 'dark'] as const)('has no violation in %s', async (colorScheme) => {
      const { page } = await site.open(path, { colorScheme });
      await ready(page, kind);
      expect(await violationsOn(page)).toEqual([]);
    });

    it('fits into 360 pixels', async () => {
      const { page } = await site.open(path, { viewport: { width: 360, height: 740 } });
      await ready(page, kind);
      const tooWide = await page.evaluate(() =>
        [...document.querySelectorAll('body *')]
          .filter((element) => {
            const { width, right } = element.getBoundingClientRect();
            return width > 0 && right > innerWidth + 1;
          })
          .map(({ className, tagName }) => `${tagName}.${className}`),
      );
      const { scrollWidth } = await page.evaluate(() => {
        scrollTo(10_000, 0);
        return { scrollWidth: document.documentElement.scrollWidth, scrollX };
      });
      // The elements that scroll inside of their own box show where to look if this fails.
      expect({ scrollWidth, tooWide: scrollWidth > 360 ? tooWide : [] }).toEqual({ scrollWidth: 360, tooWide: [] });
    });
  });

  it.each(['light', 'dark'] as const)('has no violation in the playground after a run, in %s', async (colorScheme) => {
    const { page } = await site.open('playground.html', { colorScheme });
    await page.getByTestId('run').click();
    await page.getByTestId('output').getByText(/\S/).first().waitFor();
    expect(await violationsOn(page)).toEqual([]);
  });

  it('lets the Tab key reach every control of the playground, in the order of the page', async () => {
    const { page, ui } = await openPlayground(site);
    // All buttons are enabled while a program is paused.
    await ui.setSpeed('Home');
    await ui.control('run').click();
    await ui.reach('running');
    await ui.control('pause').click();
    await ui.reach('paused');
    const controls = await page.evaluate(() =>
      [...document.querySelectorAll('[data-testid]')]
        .filter((element) =>
          element.matches('button:enabled, select, input, [data-testid=editor], [data-testid=output]'),
        )
        .map((element) => element.getAttribute('data-testid')),
    );
    for (const control of ['example', 'copy-link', 'editor', 'run', 'pause', 'step', 'stop', 'speed', 'output'])
      expect(controls).toContain(control);
    await ui.control('example').focus();
    const reached: (string | null)[] = ['example'];
    for (let presses = 0; presses < 100 && reached.length < controls.length; presses += 1) {
      await page.keyboard.press('Tab');
      const focused = await page.evaluate(
        () => document.activeElement?.closest('[data-testid]')?.getAttribute('data-testid') ?? null,
      );
      // Leaves the editor, in which Tab may indent.
      if (focused === 'editor') await page.keyboard.press('Escape');
      if (controls.includes(focused) && !reached.includes(focused)) reached.push(focused);
    }
    expect(reached).toEqual(controls);
  });
});
