import { autocompletion, closeBrackets, closeBracketsKeymap } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { javascript } from '@codemirror/lang-javascript';
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from '@codemirror/language';
import { lintGutter, setDiagnostics } from '@codemirror/lint';
import { highlightSelectionMatches, searchKeymap } from '@codemirror/search';
import { EditorState } from '@codemirror/state';
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
} from '@codemirror/view';
import { tags } from '@lezer/highlight';
import type { ProgramError } from './protocol.js';

export interface EditorOptions {
  readonly code: string;
  /** The ids of the elements that name and explain the editor. */
  readonly labelledBy: string;
  readonly describedBy: string;
  onChange(code: string): void;
  onRun(): void;
}

/** An editor of TypeScript. */
export interface Editor {
  readonly code: string;
  /** Replaces the program. Undo brings the last one back. */
  replace(code: string): void;
  /** Marks the line of an error. Undefined: removes the mark. */
  mark(error: ProgramError | undefined): void;
  destroy(): void;
}

/** The colours are variables of `playground.css`, so that they follow the colour scheme. */
const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.modifier], color: 'var(--code-keyword)' },
  { tag: [tags.string, tags.regexp, tags.special(tags.string)], color: 'var(--code-string)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--code-number)' },
  { tag: [tags.comment], color: 'var(--code-comment)', fontStyle: 'italic' },
  { tag: [tags.typeName, tags.className, tags.namespace], color: 'var(--code-type)' },
  { tag: [tags.function(tags.variableName), tags.function(tags.propertyName)], color: 'var(--code-function)' },
  { tag: [tags.propertyName, tags.definition(tags.variableName)], color: 'var(--code-name)' },
]);

const theme = EditorView.theme({
  '&': { height: '100%', color: 'var(--vp-c-text-1)', backgroundColor: 'var(--vp-code-block-bg)' },
  '.cm-scroller': { fontFamily: 'var(--vp-font-family-mono)', fontSize: '13.5px', lineHeight: '1.6' },
  '.cm-content': { caretColor: 'var(--vp-c-text-1)' },
  '.cm-cursor': { borderLeftColor: 'var(--vp-c-text-1)' },
  '.cm-gutters': { color: 'var(--vp-c-text-2)', backgroundColor: 'transparent', border: 'none' },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'var(--code-line)' },
  '&.cm-focused': { outline: '2px solid var(--vp-c-brand-1)', outlineOffset: '-2px' },
  '.cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground': {
    backgroundColor: 'var(--code-selection)',
  },
  '.cm-panels, .cm-tooltip': { color: 'var(--vp-c-text-1)', backgroundColor: 'var(--vp-c-bg-elv)' },
  '.cm-textfield, .cm-button': { color: 'inherit', background: 'var(--vp-c-bg)' },
});

/** Creates an editor in an element. */
export function createEditor(parent: HTMLElement, options: EditorOptions): Editor {
  const run = (): boolean => {
    options.onRun();
    return true;
  };
  const view = new EditorView({
    parent,
    state: EditorState.create({
      doc: options.code,
      extensions: [
        lineNumbers(),
        lintGutter(),
        history(),
        drawSelection(),
        indentOnInput(),
        bracketMatching(),
        closeBrackets(),
        autocompletion(),
        highlightActiveLine(),
        highlightActiveLineGutter(),
        highlightSelectionMatches(),
        javascript({ typescript: true }),
        syntaxHighlighting(colours),
        theme,
        EditorView.contentAttributes.of({
          'aria-labelledby': options.labelledBy,
          'aria-describedby': options.describedBy,
          // The keyboard can scroll it.
          tabindex: '0',
        }),
        keymap.of([
          { key: 'Mod-Enter', run, preventDefault: true },
          ...closeBracketsKeymap,
          ...defaultKeymap,
          ...searchKeymap,
          ...historyKeymap,
          indentWithTab,
        ]),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) options.onChange(update.state.doc.toString());
        }),
      ],
    }),
  });
  return {
    get code() {
      return view.state.doc.toString();
    },
    replace(code) {
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: code }, selection: { anchor: 0 } });
    },
    mark(error) {
      const { doc } = view.state;
      const number = error?.line;
      const line = number !== undefined && number >= 1 && number <= doc.lines ? doc.line(number) : undefined;
      const message = error?.message ?? '';
      const diagnostics =
        line === undefined ? [] : [{ from: line.from, to: line.to, severity: 'error' as const, message }];
      view.dispatch(setDiagnostics(view.state, diagnostics));
      if (line !== undefined) view.dispatch({ effects: EditorView.scrollIntoView(line.from, { y: 'center' }) });
    },
    destroy: () => view.destroy(),
  };
}
