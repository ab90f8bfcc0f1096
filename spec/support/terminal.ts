import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Terminal as Emulator } from '@xterm/headless';
import { pathWithSluice } from './cli.js';
import { eventually } from './eventually.js';
import { describeBy, type Verdict } from './servers/describe-with.js';
import { findCommand } from './servers/find-command.js';
import { guard } from './servers/guard.js';

/** The code of the private mode that shows the cursor. */
const SHOW_CURSOR = 25;

export interface TerminalOptions {
  readonly columns?: number;
  readonly rows?: number;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The folder in which the command runs. Default: that of the tests. */
  readonly folder?: string;
}

/**
 * Describes a suite that needs a pseudo-terminal. Without the `script` of util-linux, the suite is
 * skipped with a warning, and on Linux fails if `CI` is `true`.
 */
export function describeWithTerminal(name: string, body: () => void): void {
  describeBy(verdict(), 'script', name, body);
}

function verdict(): Verdict {
  const isLinux = process.platform === 'linux';
  if (isLinux && findCommand('script') !== undefined) return { run: true };
  const reason = 'It needs the command `script` of util-linux, on Linux: the package bsdutils or util-linux.';
  return { run: false, fail: isLinux && process.env.CI === 'true', reason };
}

/** A command of a shell that runs in a terminal. `sluice` is the built command line. */
export class Terminal {
  readonly #script: ChildProcessWithoutNullStreams;
  readonly #emulator: Emulator;
  readonly #code: Promise<number | null>;
  #greeting = '';
  /** The process of the command, if the command is one `exec`, and the name of its terminal. */
  #process: { readonly pid: number; readonly device: string } | undefined;
  #isCursorVisible = true;
  #bytes = Buffer.alloc(0);
  #hasScrolled = false;
  /** The titles that the window got. */
  readonly titles: string[] = [];

  constructor(command: string, { columns = 80, rows = 24, env, folder }: TerminalOptions = {}) {
    this.#emulator = new Emulator({ cols: columns, rows, scrollback: 10_000, allowProposedApi: true });
    this.#emulator.onTitleChange((title) => this.titles.push(title));
    let shown = this.#emulator.buffer.active.type;
    this.#emulator.onScroll(() => {
      // It is also called for a change to the other screen.
      const { type } = this.#emulator.buffer.active;
      if (type === shown) this.#hasScrolled = true;
      shown = type;
    });
    for (const [final, isVisible] of [
      ['h', true],
      ['l', false],
    ] as const)
      this.#emulator.parser.registerCsiHandler({ prefix: '?', final }, (parameters) => {
        if (parameters.includes(SHOW_CURSOR)) this.#isCursorVisible = isVisible;
        return false;
      });
    const start = `stty cols ${columns} rows ${rows}; echo "$$ $(tty)"; eval "$COMMAND"`;
    this.#script = spawn(findCommand('script') ?? 'script', ['-qec', start, '/dev/null'], {
      ...(folder !== undefined && { cwd: folder }),
      env: {
        ...process.env,
        SHELL: '/bin/sh',
        PATH: pathWithSluice(),
        TERM: 'xterm-256color',
        // Jest sets these for its workers.
        FORCE_COLOR: undefined,
        NO_COLOR: undefined,
        ...env,
        COMMAND: command,
      },
    });
    guard(this.#script);
    this.#script.stdin.on('error', () => {});
    this.#script.stdout.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#code = once(this.#script, 'close').then(([code]) => code as number | null);
  }

  /** The lines on the screen, without spaces at their ends. */
  get screen(): string[] {
    const { active } = this.#emulator.buffer;
    return Array.from({ length: this.#emulator.rows }, (_, row) => this.#row(active.baseY + row));
  }

  /** All lines so far, and not those after the last text. A line that was wrapped is one. */
  get lines(): string[] {
    const { normal } = this.#emulator.buffer;
    const lines: string[] = [];
    for (let row = 0; row < normal.length; row++) {
      const line = normal.getLine(row);
      const text = line?.translateToString(normal.getLine(row + 1)?.isWrapped !== true) ?? '';
      if (line?.isWrapped === true) lines.push((lines.pop() ?? '') + text);
      else lines.push(text);
    }
    while (lines.at(-1) === '') lines.pop();
    return lines;
  }

  /** What was written, with all escape sequences. */
  get bytes(): string {
    return this.#bytes.toString();
  }

  /** Whether the alternate screen is shown, without what was written before. */
  get isAlternate(): boolean {
    return this.#emulator.buffer.active.type === 'alternate';
  }

  get isCursorVisible(): boolean {
    return this.#isCursorVisible;
  }

  /** Whether a line that is too long goes on in the next one: a terminal's normal state. */
  get wraps(): boolean {
    return this.#emulator.modes.wraparoundMode;
  }

  /** Whether the first line has ever left the screen. */
  get hasScrolled(): boolean {
    return this.#hasScrolled;
  }

  /** Whether a line on the screen continues the one above it. */
  get hasWrapped(): boolean {
    const { active } = this.#emulator.buffer;
    return this.screen.some((_, row) => active.getLine(active.baseY + row)?.isWrapped === true);
  }

  /** Waits until the screen contains a text. */
  async shows(expected: string | RegExp): Promise<void> {
    await this.until((screen) => {
      const text = screen.join('\n');
      return typeof expected === 'string' ? text.includes(expected) : expected.test(text);
    });
  }

  /** Waits until a condition holds on the screen. */
  async until(condition: (screen: readonly string[]) => boolean): Promise<void> {
    await eventually(
      () => condition(this.screen),
      () => ({ condition: String(condition), screen: this.screen }),
    );
  }

  /** Types a text, such as `\x03` for Ctrl-C. */
  type(text: string): void {
    this.#script.stdin.write(text);
  }

  async resize(columns: number, rows: number): Promise<void> {
    const { device } = await this.#started();
    this.#emulator.resize(columns, rows);
    execFileSync('stty', ['-F', device, 'cols', String(columns), 'rows', String(rows)]);
  }

  /** Sends a signal to the command. */
  async signal(signal: NodeJS.Signals): Promise<void> {
    const { pid } = await this.#started();
    process.kill(pid, signal);
  }

  /** Presses Ctrl-Z. Resolves when the command and `script` are suspended. */
  async suspend(): Promise<void> {
    this.type('\x1a');
    await eventually(() => stateOf(this.#script.pid) === 'T');
  }

  /** Continues the command after `suspend`. `script` continues it in turn. */
  resume(): void {
    this.#script.kill('SIGCONT');
  }

  /** Closes the window. Resolves when the command has ended. */
  async close(): Promise<void> {
    const { pid } = await this.#started();
    this.#script.kill('SIGKILL');
    await eventually(() => hasEnded(pid));
  }

  /** Resolves to the exit code of the command, when all that it wrote is on the screen. */
  async ended(): Promise<number | null> {
    const code = await this.#code;
    await new Promise<void>((resolve) => this.#emulator.write('', resolve));
    return code;
  }

  /** Ends the command if it still runs. */
  stop(): void {
    // Its command gets a SIGHUP.
    this.#script.kill('SIGKILL');
    if (this.#process !== undefined && !hasEnded(this.#process.pid)) process.kill(this.#process.pid, 'SIGKILL');
  }

  async #started(): Promise<{ readonly pid: number; readonly device: string }> {
    await eventually(() => this.#process !== undefined);
    return this.#process as { readonly pid: number; readonly device: string };
  }

  #receive(chunk: Buffer): void {
    if (this.#process !== undefined) {
      this.#show(chunk);
      return;
    }
    // The first line is not for the screen.
    this.#greeting += chunk.toString('latin1');
    const [, pid, device, rest] = /^(\d+) (\S+)\r\n(.*)$/s.exec(this.#greeting) ?? [];
    if (pid === undefined || device === undefined || rest === undefined) return;
    this.#process = { pid: Number(pid), device };
    this.#show(Buffer.from(rest, 'latin1'));
  }

  #show(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    this.#emulator.write(chunk);
  }

  #row(row: number): string {
    return this.#emulator.buffer.active.getLine(row)?.translateToString(true, 0, this.#emulator.cols).trimEnd() ?? '';
  }
}

/** Returns the state of a process, such as `T` for stopped. Undefined: it has ended. */
function stateOf(pid: number | undefined): string | undefined {
  try {
    return /\) (\w) /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];
  } catch {
    return undefined;
  }
}

/** Whether a process has ended, even if its parent does not know that yet. */
function hasEnded(pid: number): boolean {
  return [undefined, 'Z', 'X'].includes(stateOf(pid));
}
