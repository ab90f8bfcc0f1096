import type { LogDetails } from 'sluice';
import { Interrupted, oneLine, usageError, withoutControls, withoutPasswords } from './failures.js';
import { Output } from './output.js';

/** The flags of every command. */
export interface CommonOptions {
  readonly backend?: string | undefined;
  readonly url?: string | undefined;
  readonly name?: string | undefined;
  readonly groups?: readonly string[] | undefined;
  readonly json?: true | undefined;
}

type Env = Readonly<Record<string, string | undefined>>;

/** What a command has of the shell that runs it: flags, variables, streams and signals. */
export class Shell {
  readonly options: CommonOptions;
  /** The variables, with those that the flags override. */
  readonly env: Env;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly #stop = new AbortController();
  #failure: unknown;
  #isUnread = false;
  #showsLogs = false;
  readonly #held: string[] = [];
  readonly #groupsInUse = new Set<string>();

  /** @throws {CommandError} if the flags contradict each other */
  constructor(options: CommonOptions, { env, stdin, stdout, stderr }: NodeJS.Process) {
    this.options = options;
    this.env = overridden(env, options);
    this.stdin = stdin;
    this.stdout = new Output(stdout, { closed: () => this.#unread(), failed: (error) => this.stop(error) });
    this.stderr = new Output(stderr, { closed: () => {}, failed: () => {} });
  }

  /** Aborts when the command must end: on Ctrl-C, or because nobody reads its output. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Whether to write JSON instead of text for people. */
  get json(): boolean {
    return this.options.json === true || !this.stdout.isTerminal;
  }

  /** Whether the command ended because nobody reads its output: a normal end. */
  get isUnread(): boolean {
    return this.#isUnread;
  }

  /** @param failure makes the command fail. Undefined: it just ends. */
  stop(failure?: unknown): void {
    this.#failure ??= failure;
    this.#stop.abort();
  }

  /** @throws what made the command fail */
  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /**
   * Waits for a call that cannot be aborted.
   * @throws {Interrupted} (a rejection) if the command must end meanwhile
   */
  async within<Value>(call: Promise<Value>): Promise<Value> {
    const stopped = () => new Interrupted();
    if (this.signal.aborted) throw stopped();
    let stop!: () => void;
    const end = new Promise<never>((_, reject) => {
      stop = () => reject(stopped());
      this.signal.addEventListener('abort', stop, { once: true });
    });
    return Promise.race([call, end]).finally(() => this.signal.removeEventListener('abort', stop));
  }

  /** Writes a value as a line of JSON. Resolves to whether somebody reads it. */
  writeJson(value: unknown): Promise<boolean> {
    // The characters that control a terminal are in strings only, where JSON has the same escapes.
    return this.stdout.write(`${withoutControls(JSON.stringify(value))}\n`);
  }

  /** Writes lines for people. Resolves to whether somebody reads them. */
  writeLines(lines: readonly string[]): Promise<boolean> {
    return this.stdout.write(lines.map((line) => `${withoutControls(line)}\n`).join(''));
  }

  /** Writes the result of a command: JSON, or lines for people. */
  result(value: unknown, lines: () => readonly string[]): Promise<boolean> {
    return this.json ? this.writeJson(value) : this.writeLines(lines());
  }

  /** Tells something on stderr that is no result. */
  note(text: string): void {
    void this.stderr.write(`${withoutControls(withoutPasswords(text))}\n`);
  }

  warn(text: string): void {
    this.note(`warning: ${text}`);
  }

  /** Shows the warnings of the backend so far: those of loading it. */
  flushLogs(): void {
    for (const line of this.#held.splice(0)) this.note(line);
  }

  /**
   * Shows warnings of the backend from now on. Before, they are held back: the error of a failed
   * connection says it all.
   * @param groups the groups that the command uses. Others are not its subject.
   */
  showLogs(groups: readonly string[] = []): void {
    this.#showsLogs = true;
    for (const group of groups) this.#groupsInUse.add(group);
    this.flushLogs();
  }

  /** The logger of the backends. */
  readonly logger = {
    debug: (): void => {},
    warn: (message: string, details?: LogDetails): void => this.#log('warning', message, details),
    error: (message: string, details?: LogDetails): void => this.#log('error', message, details),
  };

  #unread(): void {
    this.#isUnread = true;
    this.stop();
  }

  #log(level: string, message: string, details: LogDetails | undefined): void {
    const { group } = { ...details } as { readonly group?: string };
    if (group !== undefined && !this.#groupsInUse.has(group)) return;
    const line = `${level}: ${oneLine(message)}`;
    if (this.#showsLogs) this.note(line);
    else this.#held.push(line);
  }
}

/** Returns the variables with the values of `--backend` and `--url`. */
function overridden(env: Env, { backend, url }: CommonOptions): Env {
  const chosen = backend === undefined ? env : { ...env, QUEUE_BACKEND: backend };
  if (url === undefined) return chosen;
  const { QUEUE_BACKEND: name } = chosen;
  if (!name) throw usageError('Expected --backend or QUEUE_BACKEND with --url: it names the engine at the URL');
  return { ...chosen, [`${name.toUpperCase().replaceAll('-', '_')}_URL`]: url };
}
