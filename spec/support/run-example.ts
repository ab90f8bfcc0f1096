import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { ROOT } from './root.js';

/** A running program and its output. */
export class Program {
  /** The complete output. */
  output = '';
  /** The output of `console.log`, without warnings. */
  printedLines = '';
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  readonly #exit: Promise<number | null>;

  /** Starts a TypeScript file as a user would, with `sluice` resolved to the sources. */
  constructor(file: string, env: Readonly<Record<string, string>> = {}) {
    this.#child = spawn(
      process.execPath,
      ['--import', 'tsx', '--import', './scripts/text-loader.mjs', path.resolve(ROOT, file)],
      {
        cwd: ROOT,
        env: { ...process.env, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.printedLines += text;
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    }
    this.#exit = once(this.#child, 'close').then(([code]) => code as number | null);
  }

  /** Waits until the program prints a text. Rejects if it ends without printing it. */
  async printed(text: string): Promise<void> {
    while (!this.output.includes(text)) {
      const ended = await Promise.race([
        once(this.#child.stdout, 'data').then(() => false),
        this.#exit.then(() => true),
      ]);
      if (ended && !this.output.includes(text))
        throw new Error(`Expected the program to print "${text}", got:\n${this.output}`);
    }
  }

  interrupt(signal: NodeJS.Signals = 'SIGINT'): void {
    this.#child.kill(signal);
  }

  /** Resolves to the exit code when the program ends by itself. */
  exited(): Promise<number | null> {
    return this.#exit;
  }
}
