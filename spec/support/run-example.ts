import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { ROOT } from './root.js';

/** A program that was started, and what it has printed so far. */
export class Program {
  /** Everything that it has printed. */
  output = '';
  /** What it has printed with `console.log`, and not as a warning. */
  printedLines = '';
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  readonly #exit: Promise<number | null>;

  /** Starts a TypeScript file as a user would, with `sluice` standing for the sources. */
  constructor(file: string, env: Readonly<Record<string, string>> = {}) {
    this.#child = spawn(
      process.execPath,
      ['--import', 'tsx', '--import', './scripts/lua-loader.mjs', path.resolve(ROOT, file)],
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

  /** Waits until it has printed a text, or has ended without. */
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

  /** Its exit code, when it has ended by itself. */
  exited(): Promise<number | null> {
    return this.#exit;
  }
}
