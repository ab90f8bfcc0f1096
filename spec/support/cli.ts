import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { buildSync } from 'esbuild';
import manifest from '../../package.json';
import { engines } from './engines.js';
import { eventually } from './eventually.js';
import { ROOT } from './root.js';

/** The files of a package with the command line and all engines, by their sources. */
const ENTRIES = {
  cli: 'src/cli/main.ts',
  index: 'src/index.ts',
  ...Object.fromEntries(engines.map(({ name }) => [name, `src/${name}/index.ts`])),
};

let built: string | undefined;

/** Starts the program as the command `sluice`. */
const COMMAND = `#!/bin/sh
exec '${process.execPath}' "\${0%/*}/../cli.js" "$@"
`;

/** Builds the command line from the sources, as a package of its own. Returns its folder. */
function build(): string {
  const peers = Object.keys(manifest.peerDependencies);
  const { outputFiles } = buildSync({
    absWorkingDir: ROOT,
    entryPoints: ENTRIES,
    outdir: 'out',
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    external: ['sluice', ...peers],
    // The libraries of the command line are CommonJS in part.
    banner: { js: "import { createRequire as cr } from 'node:module'; const require = cr(import.meta.url);" },
    loader: { '.lua': 'text', '.sql': 'text' },
    write: false,
  });
  const hash = createHash('sha256');
  for (const { contents } of outputFiles) hash.update(contents);
  hash.update(COMMAND);
  const programs = path.join(ROOT, '.cache', 'programs');
  const home = path.join(programs, `cli-${hash.digest('hex').slice(0, 16)}`);
  if (!existsSync(home)) {
    mkdirSync(programs, { recursive: true });
    const part = mkdtempSync(path.join(programs, 'cli-part-'));
    for (const { path: file, contents } of outputFiles) writeFileSync(path.join(part, path.basename(file)), contents);
    const { name, version } = manifest;
    const exports = {
      '.': './index.js',
      ...Object.fromEntries(engines.map(({ name }) => [`./${name}`, `./${name}.js`])),
      './package.json': './package.json',
    };
    mkdirSync(path.join(part, 'bin'));
    writeFileSync(path.join(part, 'bin', 'sluice'), COMMAND, { mode: 0o755 });
    writeFileSync(path.join(part, 'package.json'), JSON.stringify({ name, version, type: 'module', exports }));
    try {
      renameSync(part, home);
    } catch {
      // Another process has built it meanwhile.
      rmSync(part, { recursive: true, force: true });
    }
  }
  return home;
}

function home(): string {
  built ??= build();
  return built;
}

/** The path of the built command line. */
function cliProgram(): string {
  return path.join(home(), 'cli.js');
}

/** A PATH that starts with the command `sluice`. */
export function pathWithSluice(): string {
  return `${path.join(home(), 'bin')}:${process.env.PATH}`;
}

export interface CliResult {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

type Variables = Readonly<Record<string, string | undefined>>;

/** A command that runs. */
export class CliProcess {
  out = '';
  err = '';
  readonly child: ChildProcessWithoutNullStreams;
  readonly #code: Promise<number | null>;

  /** @param around a command that runs the one after it */
  constructor(args: readonly string[], env: Variables, around: readonly string[] = []) {
    const [file = '', ...rest] = [...around, process.execPath, cliProgram(), ...args];
    this.child = spawn(file, rest, { env: { ...process.env, ...env } });
    this.child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.out += text;
    });
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.err += text;
    });
    // A command need not read its input to the end.
    this.child.stdin.on('error', () => {});
    this.#code = once(this.child, 'close').then(([code]) => code as number | null);
  }

  /** The complete lines of stdout. */
  get lines(): string[] {
    return this.out.split('\n').slice(0, -1);
  }

  /** Waits until stdout has so many lines. */
  printed(lines: number): Promise<void> {
    return this.until(() => this.lines.length >= lines);
  }

  /** Waits until the output fulfils a condition. */
  async until(condition: (process: this) => boolean): Promise<void> {
    const { child } = this;
    await eventually(
      () => condition(this) || child.exitCode !== null,
      () => this.err,
    );
    if (!condition(this)) throw new Error(`The command has ended with ${child.exitCode}: ${this.err}`);
  }

  async ended(): Promise<CliResult> {
    const code = await this.#code;
    return { code, out: this.out, err: this.err };
  }
}

/** Runs commands of `sluice` as processes of their own, in one environment. */
export class Cli {
  readonly #env: Variables;
  readonly #running = new Set<CliProcess>();

  constructor(env: Variables) {
    this.#env = env;
  }

  start(...args: readonly string[]): CliProcess {
    return this.#startIn([], args);
  }

  run(...args: readonly string[]): Promise<CliResult> {
    return this.runWith('', ...args);
  }

  /** Runs a command with a text on stdin. */
  runWith(input: string | Buffer, ...args: readonly string[]): Promise<CliResult> {
    const process = this.start(...args);
    process.child.stdin.end(input);
    return process.ended();
  }

  /**
   * Runs a command whose output goes through a pipe into `head`.
   * @param lines how many lines `head` reads before it closes the pipe
   */
  async runIntoHead(lines: number, ...args: readonly string[]): Promise<CliResult> {
    const code = 'code of sluice: ';
    // A real pipe: that of a child process of Node.js is a socket.
    const script = `("$@"; echo "${code}$?" >&2) | head -n ${lines}`;
    const shell = this.#startIn(['sh', '-c', script, 'sh'], args);
    const { out, err } = await shell.ended();
    const start = err.lastIndexOf(code);
    return { code: Number(err.slice(start + code.length)), out, err: err.slice(0, start) };
  }

  /** Runs a command whose stdout is a file. */
  async runInto(file: string, ...args: readonly string[]): Promise<CliResult> {
    const shell = this.#startIn(['sh', '-c', `exec "$@" > ${file}`, 'sh'], args);
    shell.child.stdin.end();
    return shell.ended();
  }

  #startIn(around: readonly string[], args: readonly string[]): CliProcess {
    const process = new CliProcess(args, this.#env, around);
    this.#running.add(process);
    void process.ended().then(() => this.#running.delete(process));
    return process;
  }

  /** Runs a command that must succeed. Resolves to the values that it writes. */
  async values(...args: readonly string[]): Promise<unknown[]> {
    const { code, out, err } = await this.run(...args);
    if (code !== 0) throw new Error(`Expected sluice ${args.join(' ')} to exit with 0, got ${code}: ${err}`);
    return out
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));
  }

  /** Kills what still runs. */
  stop(): void {
    for (const { child } of this.#running) child.kill('SIGKILL');
  }
}
