import { readFileSync } from 'node:fs';
import type { AxeResults } from 'axe-core';
import type { Page } from 'playwright-core';

const SOURCE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

/** WCAG 2.0 to 2.2, levels A and AA. */
const STANDARD = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

/** What VitePress's own markup violates: this project cannot change it. */
const EXCEPTIONS: readonly { readonly rule: string; readonly element: RegExp }[] = [
  // The name of the search button leaves out the keys that it shows.
  { rule: 'label-content-name-mismatch', element: /^\.DocSearch/ },
  // A section of the sidebar opens by a click anywhere on its title, which contains a link or an arrow.
  { rule: 'nested-interactive', element: /> \.item\[role="button"\]$/ },
];

/** Returns what violates the standard on a page. */
export async function violationsOn(page: Page): Promise<readonly string[]> {
  await page.evaluate(SOURCE);
  const { violations, passes } = await page.evaluate((standard) => {
    const { axe } = window as unknown as { axe: { run(context: object, options: object): Promise<AxeResults> } };
    return axe.run(document, { runOnly: standard, resultTypes: ['violations'] });
  }, STANDARD);
  if (passes.length === 0) throw new Error('Expected axe to check something');
  return violations.flatMap(({ id, nodes }) =>
    nodes
      .map(({ target, failureSummary }) => ({ target: target.join(' '), failureSummary }))
      .filter(({ target }) => !EXCEPTIONS.some(({ rule, element }) => rule === id && element.test(target)))
      .map(({ target, failureSummary }) => `${id}: ${target}: ${failureSummary}`),
  );
}
