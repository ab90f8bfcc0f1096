import { readFileSync } from 'node:fs';
import path from 'node:path';
import { TestScheduler } from 'rxjs/testing';
import { type CatalogueEntry, catalogue } from './catalogue.js';
import { extractMarbles, type MarbleValue, type TestMarbles } from './extract.js';

export type DiagramEvent =
  | {
      readonly frame: number;
      readonly kind: 'next';
      /** The letter of the marble: equal ones have the same colour. */
      readonly letter: string;
      readonly value: MarbleValue;
    }
  | { readonly frame: number; readonly kind: 'complete' | 'error' };

export interface DiagramRow {
  readonly role: TestMarbles['role'];
  readonly label: string;
  readonly events: readonly DiagramEvent[];
  /** The number of frames that the marbles describe. */
  readonly frames: number;
}

export interface Diagram {
  readonly operator: string;
  readonly caption: string;
  readonly rows: readonly DiagramRow[];
}

/** More would be too small to read. */
const MAX_FRAMES = 40;

/**
 * Reads the diagrams of a function from the marbles of its tests.
 * @throws {Error} if the catalogue does not have the name, or a test does not fit its entry
 */
export function readDiagrams(root: string, name: string): Diagram[] {
  if (!Object.hasOwn(catalogue, name)) {
    const known = Object.keys(catalogue).join(', ');
    throw new Error(`Expected the name of marbles to be one of ${known}, got "${name}"`);
  }
  return (catalogue[name] ?? []).map((entry) =>
    toDiagram(entry, extractMarbles(entry.spec, readFileSync(path.join(root, entry.spec), 'utf8'), entry.test)),
  );
}

/** @throws {Error} if the entry names more or fewer rows than the test has marbles */
export function toDiagram({ spec, test, rows, operator, caption }: CatalogueEntry, found: TestMarbles[]): Diagram {
  if (found.length !== rows.length) {
    throw new Error(
      `Expected the test "${test}" in ${spec} to have ${rows.length} marble strings (${rows.join(', ')}), ` +
        `got ${found.map(({ marbles }) => `"${marbles.trim()}"`).join(', ')}`,
    );
  }
  return { operator, caption, rows: found.map((marbles, index) => toRow(marbles, rows[index] ?? '')) };
}

function toRow({ role, marbles, values }: TestMarbles, label: string): DiagramRow {
  // Without values, each message is the letter itself.
  const events = inRunMode(() => TestScheduler.parseMarbles(marbles, undefined, undefined, undefined, true)).map(
    ({ frame, notification }): DiagramEvent => {
      if (notification.kind !== 'N') return { frame, kind: notification.kind === 'C' ? 'complete' : 'error' };
      const letter = String(notification.value);
      return { frame, kind: 'next', letter, value: values[letter] ?? letter };
    },
  );
  const last = Math.max(0, ...events.map(({ frame }) => frame));
  if (last > MAX_FRAMES)
    throw new Error(`Expected marbles of at most ${MAX_FRAMES} ms for a diagram, got "${marbles}"`);
  const ended = events.some(({ kind }) => kind !== 'next');
  return { role, label, events, frames: ended ? last : Math.max(last, lastFrameOf(marbles)) };
}

/** Returns the time of the last character, which may be a dash. */
function lastFrameOf(marbles: string): number {
  const text = marbles.replaceAll(' ', '');
  const end = inRunMode(() => TestScheduler.parseMarbles(`${text}z`, undefined, undefined, undefined, true)).at(-1);
  return (end?.frame ?? 0) - 1;
}

/** Counts a character as a millisecond, as `run` of a `TestScheduler` does. */
function inRunMode<Result>(read: () => Result): Result {
  const factor = TestScheduler.frameTimeFactor;
  TestScheduler.frameTimeFactor = 1;
  try {
    return read();
  } finally {
    TestScheduler.frameTimeFactor = factor;
  }
}
