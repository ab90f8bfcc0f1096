import { builtBase } from '../support/built-site.js';
import { describeWithSite } from '../support/describe-with-site.js';

describeWithSite('The site below a base path', (site) => {
  it('is built for the path that SITE_BASE names', () => {
    expect(builtBase()).toBe(process.env.SITE_BASE ?? builtBase());
    expect(builtBase()).toMatch(/^\/(.+\/)?$/);
  });

  it('stays there while a reader follows its links', async () => {
    const { page, faults } = await site.open('');
    const nav = page.locator('.VPNavBar');
    for (const [link, path] of [
      ['Guides', 'guides/'],
      ['API', 'api/'],
      ['Playground', 'playground.html'],
    ] as const) {
      await nav.getByRole('link', { name: link, exact: true }).click();
      await page.waitForURL(site.server.url(path));
    }
    await page.getByTestId('run').waitFor();
    await nav.getByRole('link', { name: 'Sluice' }).click();
    await page.waitForURL(site.server.url());
    await page.getByRole('link', { name: 'Try it in the browser' }).click();
    await page.waitForURL(site.server.url('playground.html'));
    await page.getByTestId('run').waitFor();
    expect(faults.requests.filter((url) => !url.startsWith(site.server.url()) && /^https?:/.test(url))).toEqual([]);
  });
});
