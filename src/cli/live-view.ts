import { writeSync } from 'node:fs';
import ansi from 'ansi-escapes';
import type { Shell } from './shell.js';

/** The size of a terminal that does not tell it. */
const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;

const ENTER = ansi.enterAlternativeScreen + ansi.cursorHide;
const LEAVE = ansi.cursorShow + ansi.exitAlternativeScreen;

/** Draws lines over the whole terminal, and restores it however the process ends. */
export class LiveView {
  readonly #shell: Shell;
  readonly #lines: (columns: number) => readonly string[];
  readonly #endResize: () => void;

  /** @param lines returns the lines for a width, in columns */
  constructor(shell: Shell, lines: (columns: number) => readonly string[]) {
    this.#shell = shell;
    this.#lines = lines;
    this.#endResize = shell.stdout.onResize(() => this.draw());
    process.once('exit', leave);
    process.on('SIGTSTP', this.#suspend);
    process.on('SIGCONT', this.#resume);
    void shell.stdout.write(ENTER);
  }

  draw(): void {
    const { columns = DEFAULT_COLUMNS, rows = DEFAULT_ROWS } = this.#shell.stdout;
    const lines = this.#lines(columns || DEFAULT_COLUMNS).slice(0, rows || DEFAULT_ROWS);
    const text = lines.map((line) => line + ansi.eraseEndLine).join('\r\n');
    void this.#shell.stdout.write(ansi.cursorTo(0, 0) + text + ansi.eraseDown);
  }

  /** Restores the terminal, and leaves the last lines there. */
  async end(): Promise<void> {
    this.#endResize();
    process.off('exit', leave);
    process.off('SIGTSTP', this.#suspend);
    process.off('SIGCONT', this.#resume);
    await this.#shell.stdout.write(LEAVE);
    await this.#shell.writeLines(this.#lines(this.#shell.stdout.columns ?? DEFAULT_COLUMNS));
  }

  readonly #suspend = (): void => {
    leave();
    process.kill(process.pid, 'SIGSTOP');
  };

  readonly #resume = (): void => {
    void this.#shell.stdout.write(ENTER);
    this.draw();
  };
}

/** Not by the stream: the process may end before that writes. */
function leave(): void {
  try {
    writeSync(process.stdout.fd, LEAVE);
  } catch {
    // The terminal is gone.
  }
}
