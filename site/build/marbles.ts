import type { MarkdownRenderer } from 'vitepress';
import { type Diagram, readDiagrams } from './marbles/diagrams.js';
import { createMarblesPlugin, figuresOf } from './marbles/plugin.js';
import { root } from './page-paths.js';

/** Returns the diagrams of a function, as its tests have them now. */
export const diagramsOf = (name: string): Diagram[] => readDiagrams(root, name);

/** Returns the diagrams of a function as HTML. */
export const renderDiagrams = (name: string): string => figuresOf(root, name);

/** Shows the diagrams in guides, and on the pages of their functions in the API. */
export const marblesPlugin: (md: MarkdownRenderer) => void = createMarblesPlugin(root);
