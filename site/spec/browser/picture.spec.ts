import { isDeepStrictEqual } from 'node:util';
import type { BrowserContextOptions } from 'playwright-core';
import expected from '../../examples/expected.json';
import { describeWithSite, type Site } from '../support/describe-with-site.js';
import { type Counts, ProgramUi } from '../support/program-ui.js';

type Name = keyof typeof expected;

/** The pictures of the guides. */
const pictures = [
  ['delivery-guarantees', 'lost-consumer'],
  ['delivery-guarantees', 'groups'],
  ['ordering', 'order-per-key'],
  ['retries-and-dead-letters', 'retries'],
  ['memory', 'backpressure'],
  ['graceful-shutdown', 'graceful-shutdown'],
] as const satisfies readonly (readonly [string, Name])[];

async function openPicture(site: Site, guide: string, name: Name, options: BrowserContextOptions = {}) {
  const { page } = await site.open(`guides/${guide}.html`, options);
  const scope = page.locator(`[data-testid=example][data-example=${name}]`);
  await scope.scrollIntoViewIfNeeded();
  return { page, ui: new ProgramUi(scope) };
}

describeWithSite('The pictures of the guides', (site) => {
  it.each(pictures)('run to the expected end: %s, %s', async (guide, name) => {
    const { ui } = await openPicture(site, guide, name);
    // Before the first run, the picture shows a moment of it.
    expect(await ui.counts()).not.toMatchObject(expected[name].counts);
    await ui.runToEnd();
    expect(await ui.counts()).toMatchObject(expected[name].counts);
    const last = expected[name].output.at(-1) as string;
    expect((await ui.lines()).at(-1)).toMatch(last);
    // A second run starts from the beginning, and ends in the same way.
    await ui.control('run').click();
    await ui.reach('finished');
    expect(await ui.counts()).toMatchObject(expected[name].counts);
  });

  it('lists in this test each picture that a guide has', async () => {
    const { page } = await site.tab();
    const found: string[][] = [];
    for (const guide of new Set(pictures.map(([guide]) => guide))) {
      await site.goto(page, `guides/${guide}.html`);
      await page.locator('[data-example]').first().waitFor();
      const names = await page
        .locator('[data-example]')
        .evaluateAll((all) => all.map((one) => one.getAttribute('data-example') ?? ''));
      found.push(...names.map((name) => [guide, name]));
    }
    expect(found).toEqual(pictures);
  });

  it('pause, resume and stop', async () => {
    const { ui } = await openPicture(site, 'retries-and-dead-letters', 'retries');
    await ui.control('run').click();
    await ui.countsReach(({ orders }) => Number(orders?.['in-flight']) > 0);
    await ui.control('pause').click();
    await ui.reach('paused');
    const paused = await ui.counts();
    expect(Number(paused.orders?.unfinished)).toBeGreaterThan(0);
    await ui.control('pause').click();
    await ui.reach('running');
    await ui.countsReach((counts) => !isDeepStrictEqual(counts, paused));
    await ui.control('stop').click();
    await ui.reach('stopped');
  });

  it('shows the numbers of one moment after each step', async () => {
    const { ui } = await openPicture(site, 'delivery-guarantees', 'lost-consumer');
    await ui.control('run').click();
    await ui.reach('running');
    await ui.control('pause').click();
    await ui.reach('paused');
    const seen: Counts[] = [await ui.counts()];
    await ui.stepToEnd(async () => {
      const counts = await ui.counts();
      expect(consistent(counts)).toBe(true);
      if (!isDeepStrictEqual(counts, seen.at(-1))) seen.push(counts);
    });
    expect(seen.length).toBeGreaterThan(5);
    await ui.countsReach((counts) =>
      expect.objectContaining(expected['lost-consumer'].counts.orders).asymmetricMatch(counts.orders),
    );
  });

  it('change with a parameter', async () => {
    const { ui } = await openPicture(site, 'retries-and-dead-letters', 'retries');
    await ui.runToEnd();
    const link = await ui.scope.getByTestId('open').getAttribute('href');
    await ui.scope.locator('[data-parameter=failures]').press('Home');
    await ui.countsReach(({ orders }) =>
      isDeepStrictEqual(orders?.retried, { default: 0 + expected.retries.counts['orders.failed'].published * 2 }),
    );
    await ui.reach('finished');
    // Only order 3 fails now, for good.
    expect(await ui.counts()).toMatchObject({ orders: { acked: { default: 7 }, 'dead-lettered': { default: 1 } } });
    await ui.scope.locator(`[data-testid=open]:not([href="${link}"])`).waitFor();
  });

  it('starts in steps where the reader prefers no movement, and moves nothing', async () => {
    const { page, ui } = await openPicture(site, 'ordering', 'order-per-key', { reducedMotion: 'reduce' });
    await ui.control('run').click();
    await ui.reach('paused');
    await ui.stepToEnd(async () => {
      const moving = await page.evaluate(
        () =>
          document.getAnimations().filter(({ effect }) => {
            const { target } = effect as KeyframeEffect;
            return target?.closest('[data-testid=picture]');
          }).length,
      );
      expect(moving).toBe(0);
    });
    await ui.countsReach((counts) =>
      expect.objectContaining(expected['order-per-key'].counts.accounts).asymmetricMatch(counts.accounts),
    );
  });

  it('moves the dots otherwise', async () => {
    const { page, ui } = await openPicture(site, 'ordering', 'order-per-key');
    await ui.control('run').click();
    await page.waitForFunction(() =>
      document
        .getAnimations()
        .some(({ effect }) => (effect as KeyframeEffect).target?.matches('[data-testid=picture] [data-dot]')),
    );
  });
});

/** Returns whether each published message is unfinished or has been acknowledged, as there is one group. */
function consistent({ orders }: Counts): boolean {
  if (orders === undefined) return true;
  const { published, unfinished, acked } = orders;
  return published === Number(unfinished) + Number((acked as { default?: number } | undefined)?.default ?? 0);
}
