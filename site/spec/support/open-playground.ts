import type { EditorView } from '@codemirror/view';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { examples } from '../../examples/index.js';
import { encode } from '../../playground/share.js';
import type { Site } from './describe-with-site.js';
import { ProgramUi } from './program-ui.js';

/** Opens the playground, and waits until it answers. */
export async function openPlayground(site: Site, fragment = '', options: BrowserContextOptions = {}) {
  const { page, faults } = await site.open(`playground.html${fragment}`, options);
  const ui = new ProgramUi(page.locator('#app'));
  await ui.control('run').waitFor();
  return { page, faults, ui };
}

/** Opens the playground with a program, and starts it as fast as possible. */
export async function run(site: Site, code: string) {
  const opened = await openPlayground(site, await encode(code));
  await opened.ui.setSpeed('End');
  await opened.ui.control('run').click();
  return opened;
}

/** Reads the program in the editor, which draws only the lines that are visible. */
export function codeIn(page: Page): Promise<string> {
  return page.locator('[data-testid=editor] .cm-content').evaluate((content) => {
    const { cmTile } = content as unknown as { readonly cmTile: { readonly root: { readonly view: EditorView } } };
    return cmTile.root.view.state.doc.toString();
  });
}

/** Returns the code of an example, as the playground shows it. */
export function codeOf(wanted: string): string | undefined {
  return examples.find(({ name }) => name === wanted)?.code;
}

/** Writes a program into the editor with the keyboard, in place of the one that is there. */
export async function write(page: Page, code: string): Promise<void> {
  await page.locator('[data-testid=editor] .cm-content').click();
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.insertText(code);
}
