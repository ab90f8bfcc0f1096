import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Certificate, makeCertificate } from './certificate.js';
import { dataRoot } from './data-root.js';
import { findCommand } from './find-command.js';
import { freePort } from './free-port.js';
import { guard } from './guard.js';

/** How a server is started. */
export interface ServerCommand {
  /** A path, or a name to look for. */
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Generous: the machine may be busy with other tests. A server that has ended by itself is not waited for. */
const START_DEADLINE = 60_000;
const STOP_DEADLINE = 15_000;
const LINES_KEPT = 100;
const PORTS_TRIED = 10;

/**
 * A server that a test starts for itself: on a port of 127.0.0.1 of its own, with a temporary folder, and gone with the test, whatever happens to
 * the test. It is only ever ended by the id of the process that was started here.
 */
export abstract class ServerProcess {
  #folder: string | undefined;
  #port: number | undefined;
  #child: ChildProcess | undefined;
  #certificate: Certificate | undefined;
  #lines: string[] = [];

  /** What it is called in messages. */
  protected abstract readonly title: string;

  /** What to run. Called when `port` and `folder` are known, before every start. */
  protected abstract command(): Promise<ServerCommand>;

  /** Resolves when the server answers, rejects as long as it does not. */
  protected abstract ready(): Promise<void>;

  /** Whether what it printed says that its port was taken. */
  protected abstract portTaken(log: string): boolean;

  /** Stays the same from start to start. */
  get port(): number {
    if (this.#port === undefined) throw new Error(`${this.title} was not started`);
    return this.#port;
  }

  /** Where it keeps its data. Stays until `stop()`. */
  get folder(): string {
    if (this.#folder === undefined) throw new Error(`${this.title} was not started`);
    return this.#folder;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** The certificate that a client must trust, as PEM; only with `tls`. */
  get ca(): string {
    if (this.#certificate === undefined) throw new Error('Expected a server with `tls`');
    return this.#certificate.ca;
  }

  /** The last lines that it printed. */
  get log(): string {
    return this.#lines.join('\n');
  }

  /** Starts it and waits until it answers; after `kill()` or `shutDown()` on the same port and with the same data. */
  async start(): Promise<void> {
    if (this.#child !== undefined) throw new Error(`${this.title} runs already`);
    const first = this.#port === undefined;
    this.#folder ??= await mkdtemp(path.join(await dataRoot(), 'sluice-server-'));
    for (let tried = 1; ; tried++) {
      if (first) this.#port = await freePort();
      if (await this.#launch()) return;
      if (tried === PORTS_TRIED) throw new Error(`${this.title} found no free port:\n${this.log}`);
      if (!first) await sleep(200);
    }
  }

  /** Ends it in good order; its data stay. */
  async shutDown(): Promise<void> {
    await this.#end('SIGTERM');
  }

  /** Ends it at once (SIGKILL); its data stay. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Lets it stand still, with its connections open (SIGSTOP), until `thaw()`. */
  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child?.kill('SIGCONT');
  }

  /** Ends it in good order, unless it is down already, and starts it on the same port with the same data. */
  async restart(): Promise<void> {
    await this.shutDown();
    await this.start();
  }

  /** Ends it for good and removes its folder. May be called in any state. */
  async stop(): Promise<void> {
    await this.shutDown();
    if (this.#folder !== undefined) await rm(this.#folder, { recursive: true, force: true });
    this.#folder = undefined;
    this.#port = undefined;
    this.#certificate = undefined;
  }

  /** A certificate of its own making. Stays the same from start to start. */
  protected async certificate(): Promise<Certificate> {
    this.#certificate ??= await makeCertificate(this.folder);
    return this.#certificate;
  }

  /** Returns whether it came up; false when its port was taken. */
  async #launch(): Promise<boolean> {
    const { file, args, env } = await this.command();
    this.#lines = [];
    const child = spawn(findCommand(file) ?? file, args, {
      cwd: this.folder,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => this.#keep(text));
    // `close` comes when all that it printed has been read, also when it could not be started.
    const ended = once(child, 'close').then(
      ([code, signal]) => `ended with ${signal ?? `code ${code}`}`,
      (error: Error) => error.message,
    );
    guard(child, this.folder);
    let end: string | undefined;
    void ended.then((how) => {
      end = how;
      if (this.#child === child) this.#child = undefined;
    });
    const deadline = performance.now() + START_DEADLINE;
    let lastError: unknown;
    while (performance.now() < deadline) {
      await Promise.race([ended, sleep(20)]);
      if (end !== undefined) {
        if (this.portTaken(this.log)) return false;
        throw new Error(`${this.title} ${end}:\n${this.log}`);
      }
      try {
        await this.ready();
        return true;
      } catch (error) {
        lastError = error;
      }
    }
    await this.kill();
    throw new Error(`${this.title} did not come up in ${START_DEADLINE / 1000} s (${lastError}):\n${this.log}`);
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const closed = once(child, 'close');
    child.kill(signal);
    // One that stands still hears nothing but SIGKILL.
    child.kill('SIGCONT');
    const killer = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE);
    await closed;
    clearTimeout(killer);
    this.#child = undefined;
  }

  #keep(text: string): void {
    this.#lines.push(...text.split('\n').filter((line) => line !== ''));
    this.#lines.splice(0, this.#lines.length - LINES_KEPT);
  }
}
