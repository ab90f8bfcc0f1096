import { clearLine, cursorTo } from 'node:readline';
import type { Shell } from './shell.js';

/** How often the line is drawn, in milliseconds. */
const INTERVAL = 200;

/** A line on stderr that tells how far a command is, if that is a terminal. */
export class Progress {
  readonly #shell: Shell;
  #shownAt = Number.NEGATIVE_INFINITY;
  #isShown = false;

  constructor(shell: Shell) {
    this.#shell = shell;
  }

  /** Draws the line again, unless it has just been drawn. */
  show(text: () => string): void {
    const now = performance.now();
    if (!this.#shell.stderr.isTerminal || now - this.#shownAt < INTERVAL) return;
    this.#shownAt = now;
    this.#isShown = true;
    this.#clear();
    process.stderr.write(text());
  }

  /** Removes the line. */
  end(): void {
    if (this.#isShown) this.#clear();
    this.#isShown = false;
  }

  #clear(): void {
    cursorTo(process.stderr, 0);
    clearLine(process.stderr, 0);
  }
}
