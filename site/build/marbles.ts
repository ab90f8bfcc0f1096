import type { MarkdownRenderer } from 'vitepress';
import { createMarblesPlugin } from './marbles/plugin.js';
import { root } from './page-paths.js';

/** Shows the diagrams in guides, and on the pages of their functions in the API. */
export const marblesPlugin: (md: MarkdownRenderer) => void = createMarblesPlugin(root);
