/**
 * Takes pictures of the built site, to look at: the start page, a guide, a page of the API and the
 * playground, in light and dark, wide and narrow.
 *
 *   npm run site && node scripts/site-screenshots.mjs <folder>
 *   node scripts/site-screenshots.mjs --readme    writes docs/images/playground.png instead
 */
import { mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { require as requireTs } from 'tsx/cjs/api';

const support = (name) => requireTs(`../site/spec/support/${name}.ts`, import.meta.url);
const { builtBase, DIST } = support('built-site');
const { hydrated, launchChromium } = support('launch-chromium');
const { StaticServer } = support('static-server');

/** The picture in the README: at most this large. */
const README = { file: 'docs/images/playground.png', bytes: 150_000, width: 1280, height: 640 };

const pages = {
  start: '',
  guide: 'guides/retries-and-dead-letters.html',
  api: 'api/sluice/functions/handle.html',
  playground: 'playground.html#example=retries',
};

const { values, positionals } = parseArgs({
  options: { readme: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const [folder] = positionals;
if (!values.readme && folder === undefined) throw new Error('Expected a folder for the pictures, or --readme');

const server = await StaticServer.start(DIST, builtBase());
const browser = await launchChromium();

/** Opens a page, and lets its program run until messages are under way. */
async function open(address, { width, height, colorScheme }) {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme });
  await page.goto(server.url(address));
  await hydrated(page);
  if (address.startsWith('playground')) await page.getByTestId('run').waitFor();
  const run = page.getByTestId('run').first();
  if ((await run.count()) === 0) return page;
  await run.click();
  const counts = page.getByTestId('picture').first().locator('[data-count=acked], [data-count=retried]');
  for (const isUnderWay of ['acked', 'retried'])
    await counts
      .and(page.locator(`[data-count=${isUnderWay}]`))
      .filter({ hasText: /^[1-9]/ })
      .first()
      .waitFor();
  await page.getByTestId('pause').first().click();
  await page.locator('[data-testid=state][data-state=paused]').first().waitFor();
  // The dots have arrived.
  await page.waitForFunction(() => document.getAnimations().every(({ playState }) => playState !== 'running'));
  return page;
}

try {
  if (values.readme) {
    const page = await open(pages.playground, { ...README, colorScheme: 'light' });
    mkdirSync(path.dirname(README.file), { recursive: true });
    await page.screenshot({ path: README.file });
    const { size } = statSync(README.file);
    console.log(`${README.file}: ${size} bytes`);
    if (size > README.bytes) throw new Error(`Expected at most ${README.bytes} bytes`);
  } else {
    mkdirSync(folder, { recursive: true });
    for (const [name, address] of Object.entries(pages))
      for (const colorScheme of ['light', 'dark'])
        for (const width of [1280, 360]) {
          const page = await open(address, { width, height: 800, colorScheme });
          await page.screenshot({
            path: path.join(folder, `${name}-${colorScheme}-${width}.png`),
            fullPage: width === 360,
          });
          await page.close();
        }
  }
} finally {
  await browser.close();
  await server.stop();
}
