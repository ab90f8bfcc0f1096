import type { Diagram, DiagramEvent } from './diagrams.js';

/** Says what a diagram shows, for readers who do not see it. */
export function describeDiagram({ rows, operator }: Diagram): string {
  const lines = rows.map(({ role, label, events }) => ({ role, text: `${label}: ${events.map(inWords).join(', ')}.` }));
  const texts = (role: 'input' | 'output') => lines.filter((line) => line.role === role).map(({ text }) => text);
  return ['Marble diagram.', ...texts('input'), `Then ${operator}.`, ...texts('output')].join(' ');
}

function inWords(event: DiagramEvent): string {
  const what =
    event.kind === 'next'
      ? typeof event.value === 'object'
        ? `[${event.value.join(', ')}]`
        : event.value
      : { complete: 'completes', error: 'fails' }[event.kind];
  return `${what} at ${event.frame} ms`;
}
