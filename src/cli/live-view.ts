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
    const { columns, rows } = this.#size();
    const all = this.#lines(columns);
    const lines = all.length <= rows ? all : [...all.slice(0, rows - 1), `… ${all.length - rows + 1} more`];
    // Behind a line that fills the row, many terminals would erase its last character.
    const text = lines.map((line) => ansi.eraseEndLine + line).join('\r\n');
    const rest = lines.length < rows ? `\r\n${ansi.eraseDown}` : '';
    void this.#shell.stdout.write(ansi.cursorTo(0, 0) + text + rest);
  }

  /** Restores the terminal, and leaves the last lines there. */
  async end(): Promise<void> {
    this.#endResize();
    process.off('exit', leave);
    process.off('SIGTSTP', this.#suspend);
    process.off('SIGCONT', this.#resume);
    await this.#shell.stdout.write(LEAVE);
    await this.#shell.writeLines(this.#lines(this.#size().columns));
  }

  #size(): { readonly columns: number; readonly rows: number } {
    const { columns, rows } = this.#shell.stdout;
    return { columns: columns || DEFAULT_COLUMNS, rows: rows || DEFAULT_ROWS };
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
