import { eventually } from '../../../spec/support/eventually.js';
import expected from '../../examples/expected.json';
import { examples } from '../../examples/index.js';
import { describeWithSite } from '../support/describe-with-site.js';
import { hydrated } from '../support/launch-chromium.js';
import { codeIn, codeOf, openPlayground, write } from '../support/open-playground.js';
import { ProgramUi } from '../support/program-ui.js';

const listed = examples.filter(({ listed }) => listed);

describeWithSite('The playground', (site) => {
  it('offers the ten examples', async () => {
    const { page, ui } = await openPlayground(site);
    expect(await page.locator('h1').allTextContents()).toEqual(['Playground']);
    const titles = await ui.control('example').locator('option').allTextContents();
    expect(listed).toHaveLength(10);
    for (const { title } of listed) expect(titles.map((text) => text.trim())).toContain(title);
  });

  it.each(listed.map(({ name }) => name as keyof typeof expected))('runs the example %s', async (name) => {
    const { page, ui } = await openPlayground(site);
    await ui.control('example').selectOption(name);
    await eventually(() => page.url().endsWith(`#example=${name}`));
    await ui.runToEnd();
    const output = await ui.lines();
    let from = 0;
    for (const line of expected[name].output) {
      const index = output.findIndex((text, index) => index >= from && text.endsWith(line));
      expect({ line, isThere: index >= 0, output }).toEqual({ line, isThere: true, output });
      from = index + 1;
    }
    expect(await ui.counts()).toMatchObject(expected[name].counts);
  });

  it('shares a program by its link', async () => {
    const { page, ui } = await openPlayground(site, '', { permissions: ['clipboard-read', 'clipboard-write'] });
    const code = "import { MemoryBackend } from 'sluice';\nconsole.log('a', typeof MemoryBackend, '– ünïcode');";
    await write(page, code);
    await ui.control('copy-link').click();
    let link = '';
    await eventually(async () => {
      link = await page.evaluate(() => navigator.clipboard.readText());
      return link.includes('#code=');
    });
    expect(link.startsWith(site.server.url('playground.html#code='))).toBe(true);
    const { page: other } = await site.tab();
    await other.goto(link);
    await hydrated(other);
    const shared = new ProgramUi(other.locator('#app'));
    await shared.control('run').waitFor();
    await eventually(async () => (await codeIn(other)) === code);
    await shared.runToEnd();
    expect((await shared.lines()).join('\n')).toContain('a function – ünïcode');
  });

  it('runs what the reader writes', async () => {
    const { page, ui } = await openPlayground(site);
    await write(
      page,
      'interface Sum { readonly sum: number }\nconst { sum }: Sum = { sum: 40 + 2 };\nconsole.log("sum", sum);',
    );
    await ui.runToEnd();
    expect((await ui.lines()).join('\n')).toContain('sum 42');
  });

  it('follows the history of its fragment', async () => {
    const { page } = await openPlayground(site, '#example=retries');
    await eventually(async () => (await codeIn(page)) === codeOf('retries'));
    await page.evaluate(() => {
      location.hash = '#example=groups';
    });
    await eventually(async () => (await codeIn(page)) === codeOf('groups'));
    await page.goBack();
    await eventually(async () => (await codeIn(page)) === codeOf('retries'));
  });

  it.each([
    ['#code=damaged', /This link is damaged/],
    ['#code=%', /This link is damaged/],
    ['#example=nothing', /There is no example "nothing"/],
  ])('says what is wrong with the fragment %s, and works', async (fragment, problem) => {
    const { page, faults, ui } = await openPlayground(site, fragment);
    // VitePress looks for the place that a fragment names.
    if (fragment.includes('%')) faults.expect(/URIError: URI malformed/);
    await page.getByTestId('notice').filter({ hasText: problem }).waitFor();
    await ui.runToEnd();
    expect(await codeIn(page)).toBe(codeOf('first-message'));
  });
});
