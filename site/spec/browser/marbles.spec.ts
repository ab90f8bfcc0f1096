import type { Page } from 'playwright-core';
import { builtPages, pathOf } from '../support/built-site.js';
import { describeWithSite } from '../support/describe-with-site.js';

const functions = ['handle', 'inBatches', 'publishTo', 'filterDeliveries', 'toAsyncIterable'];

/** The pages with diagrams, and at least how many each has. */
const pages: readonly (readonly [string, number])[] = [
  ['guides/operators.html', 4],
  ['guides/bridge.html', 2],
  ...functions.map((name) => [pageOf(name), 1] as const),
];

/** The page of the API for a function of the package. */
function pageOf(name: string): string {
  const page = builtPages().find((page) => page.endsWith(`api/sluice/functions/${name}.html`));
  if (page === undefined) throw new Error(`Expected a page of the API for ${name}`);
  return pathOf(page);
}

/** Reads how the diagrams of a page look. */
function look(page: Page) {
  return page.locator('figure.marbles').evaluateAll((figures) =>
    figures.map((figure) => {
      const svg = figure.querySelector('svg');
      const colours = (element: Element) => {
        const { fill, stroke } = getComputedStyle(element);
        return `${fill} ${stroke}`;
      };
      return {
        name: svg?.getAttribute('aria-label') ?? svg?.querySelector('title')?.textContent ?? '',
        caption: figure.querySelector('figcaption')?.textContent ?? '',
        size: svg?.getBoundingClientRect().height ?? 0,
        background: getComputedStyle(figure).backgroundColor,
        shapes: [...(svg?.querySelectorAll('circle, path, line, rect') ?? [])].map(colours),
        texts: [...(svg?.querySelectorAll('text') ?? [])].map(colours),
      };
    }),
  );
}

describeWithSite('The marble diagrams', (site) => {
  it.each(pages)('follow the colour scheme on %s', async (path, least) => {
    const { page } = await site.open(path, { colorScheme: 'light' });
    const light = await look(page);
    await page.locator('.VPNavBar').getByRole('switch').click();
    await page.locator('html.dark').waitFor();
    const dark = await look(page);

    expect(light.length).toBeGreaterThanOrEqual(least);
    expect(dark).toHaveLength(light.length);
    for (const [index, figure] of light.entries()) {
      const other = dark[index] as typeof figure;
      expect(figure.name).toMatch(/\S/);
      expect(figure.caption).toMatch(/\S/);
      expect(figure.size).toBeGreaterThan(40);
      expect(other.background).not.toBe(figure.background);
      expect(figure.shapes.length).toBeGreaterThan(5);
      expect(other.shapes).not.toEqual(figure.shapes);
      expect(figure.texts.length).toBeGreaterThan(0);
      for (const [text, colour] of figure.texts.entries()) expect(other.texts[text]).not.toBe(colour);
    }
  });
});
