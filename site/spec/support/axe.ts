import { readFileSync } from 'node:fs';
import type { AxeResults } from 'axe-core';
import type { Page } from 'playwright-core';

const SOURCE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

/** WCAG 2.0 to 2.2, levels A and AA. */
const STANDARD = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

/** Returns what violates the standard on a page, except in the elements that `exclude` selects. */
export async function violationsOn(page: Page, exclude: readonly string[]): Promise<readonly string[]> {
  await page.evaluate(SOURCE);
  const { violations, passes } = await page.evaluate(
    ({ exclude, standard }) => {
      const { axe } = window as unknown as { axe: { run(context: object, options: object): Promise<AxeResults> } };
      return axe.run({ include: ['html'], exclude }, { runOnly: standard, resultTypes: ['violations'] });
    },
    { exclude, standard: STANDARD },
  );
  if (passes.length === 0) throw new Error('Expected axe to check something');
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target.join(' ')}: ${failureSummary}`),
  );
}
