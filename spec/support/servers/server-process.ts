import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Certificate, makeCertificate } from './certificate.js';
import { childrenOf } from './children-of.js';
import { dataRoot, publicDataRoot } from './data-root.js';
import { findCommand } from './find-command.js';
import { freePort } from './free-port.js';
import { guard } from './guard.js';
import type { User } from './service-user.js';

/** The command that starts a server. */
export interface ServerCommand {
  /** A path or a name on the PATH. */
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Generous: other tests may keep the machine busy. If the server ends by itself, nothing waits. */
const START_DEADLINE = 60_000;
const STOP_DEADLINE = 15_000;
const LINES_KEPT = 100;
const PORTS_TRIED = 10;

/**
 * A server that a test starts, on its own port of 127.0.0.1 and with a temporary folder. It ends
 * with the test, whatever happens to the test. Only the process that was started here is ever
 * ended, by its id.
 */
export abstract class ServerProcess {
  #folder: string | undefined;
  #port: number | undefined;
  #child: ChildProcess | undefined;
  #certificate: Certificate | undefined;
  #lines: string[] = [];

  /** The server's name in messages. */
  protected abstract readonly title: string;

  /** The user that runs the server and owns its folder, if it is not the one that runs the tests. */
  protected readonly user: User | undefined = undefined;

  /** The signal that makes the server shut down without waiting for its clients. */
  protected readonly endSignal: NodeJS.Signals = 'SIGTERM';

  /** Whether the server serves its clients in child processes. */
  protected readonly hasChildren: boolean = false;

  /** Returns the command. Called before every start, when `port` and `folder` are known. */
  protected abstract command(): Promise<ServerCommand>;

  /** Resolves if the server responds; rejects while it does not. */
  protected abstract ready(): Promise<void>;

  /** Whether the output says that the port was taken. */
  protected abstract portTaken(log: string): boolean;

  /** The port, the same for every start. */
  get port(): number {
    if (this.#port === undefined) throw new Error(`${this.title} was not started`);
    return this.#port;
  }

  /** The folder of the server's data. It exists until `stop()`. */
  get folder(): string {
    if (this.#folder === undefined) throw new Error(`${this.title} was not started`);
    return this.#folder;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** The certificate that a client must trust, as PEM. Requires `tls`. */
  get ca(): string {
    if (this.#certificate === undefined) throw new Error('Expected a server with `tls`');
    return this.#certificate.ca;
  }

  /** The last lines of output. */
  get log(): string {
    return this.#lines.join('\n');
  }

  /**
   * Starts the server and waits until it responds. After `kill()` or `shutDown()`, it has the same
   * port and data.
   */
  async start(): Promise<void> {
    if (this.#child !== undefined) throw new Error(`${this.title} runs already`);
    const first = this.#port === undefined;
    this.#folder ??= await this.#makeFolder();
    for (let tried = 1; ; tried++) {
      if (first) this.#port = await freePort();
      if (await this.#launch()) return;
      if (tried === PORTS_TRIED) throw new Error(`${this.title} found no free port:\n${this.log}`);
      if (!first) await sleep(200);
    }
  }

  /** Shuts the server down and keeps its data. */
  async shutDown(): Promise<void> {
    await this.#end(this.endSignal);
  }

  /** Kills the server (SIGKILL) and keeps its data. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Suspends the server with its connections open (SIGSTOP) until `thaw()`. */
  freeze(): void {
    this.#signal('SIGSTOP');
  }

  thaw(): void {
    this.#signal('SIGCONT');
  }

  /** Shuts the server down if it runs, and starts it on the same port with the same data. */
  async restart(): Promise<void> {
    await this.shutDown();
    await this.start();
  }

  /** Stops the server and removes its folder. May be called in any state. */
  async stop(): Promise<void> {
    await this.shutDown();
    if (this.#folder !== undefined) await rm(this.#folder, { recursive: true, force: true });
    this.#folder = undefined;
    this.#port = undefined;
    this.#certificate = undefined;
  }

  /** Returns a generated certificate, the same for every start. */
  protected async certificate(): Promise<Certificate> {
    this.#certificate ??= await makeCertificate(this.folder);
    return this.#certificate;
  }

  async #makeFolder(): Promise<string> {
    const { user } = this;
    const folder = await mkdtemp(
      path.join(await (user === undefined ? dataRoot() : publicDataRoot()), 'sluice-server-'),
    );
    if (user !== undefined) await chown(folder, user.uid, user.gid);
    return folder;
  }

  /** Starts the process. Returns whether it runs: false if its port was taken. */
  async #launch(): Promise<boolean> {
    const { file, args, env } = await this.command();
    this.#lines = [];
    const child = spawn(findCommand(file) ?? file, args, {
      cwd: this.folder,
      env: { ...process.env, ...env },
      ...this.user,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => this.#keep(text));
    // `close` is emitted when all output has been read, even if the process could not be started.
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
    throw new Error(`${this.title} did not start within ${START_DEADLINE / 1000} s (${lastError}):\n${this.log}`);
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const closed = once(child, 'close');
    if (signal === 'SIGKILL') {
      this.#signal(signal);
    } else {
      child.kill(signal);
      // A suspended process reacts only to SIGKILL.
      this.#signal('SIGCONT');
    }
    const killer = setTimeout(() => this.#signal('SIGKILL'), STOP_DEADLINE);
    await closed;
    clearTimeout(killer);
    this.#child = undefined;
  }

  /** Sends a signal to the server and its children. */
  #signal(signal: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void {
    const child = this.#child;
    if (child?.pid === undefined) return;
    if (this.hasChildren) {
      // A suspended server starts no further child. If it dies first, its children have no parent.
      if (signal !== 'SIGCONT') child.kill('SIGSTOP');
      for (const id of childrenOf(child.pid)) sendTo(id, signal);
    }
    child.kill(signal);
  }

  #keep(text: string): void {
    this.#lines.push(...text.split('\n').filter((line) => line !== ''));
    this.#lines.splice(0, this.#lines.length - LINES_KEPT);
  }
}

function sendTo(id: number, signal: NodeJS.Signals): void {
  try {
    process.kill(id, signal);
  } catch {
    // It has just ended.
  }
}
