import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { ConsumerSettings } from '../support/consumer-process.js';
import { eventually } from '../support/eventually.js';
import { programOf } from '../support/program.js';
import { ROOT } from '../support/root.js';
import { guard } from '../support/servers/guard.js';
import type { FaultyServer } from './broker.js';
import type { Stage } from './stage.js';

/** The settings of a closing process. */
export interface ClosingSettings extends Pick<ConsumerSettings, 'backend' | 'options'> {
  /** A consumer closes its queue with an ack in transit, a publisher with a publish in transit. */
  readonly role: 'consumer' | 'publisher';
  /**
   * The queue uses a connection that the process opens, and destroys after `close()`. Needs
   * `integration/client.ts` of the engine.
   */
  readonly handedIn?: boolean;
}

/** In milliseconds. Far longer than a process needs to exit by itself. */
const LONGEST = 60_000;

/** A process that uses a queue and closes it on SIGTERM. */
class ClosingProcess {
  readonly #child: ChildProcessByStdio<null, Readable, null>;
  readonly #ended: Promise<unknown[]>;
  #ready = false;
  #resources: string[] | undefined;

  private constructor(settings: ClosingSettings) {
    const program = programOf('spec/integration/fixtures/closing.ts');
    this.#child = spawn(process.execPath, [program, JSON.stringify(settings)], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    guard(this.#child);
    this.#ended = once(this.#child, 'close');
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      if (line === 'ready') this.#ready = true;
      if (line.startsWith('closed ')) this.#resources = JSON.parse(line.slice('closed '.length)) as string[];
    });
  }

  /** Starts a process. Resolves when it has used its queue. */
  static async start(settings: ClosingSettings): Promise<ClosingProcess> {
    const closing = new ClosingProcess(settings);
    await eventually(() => closing.#ready || closing.#child.exitCode !== null);
    if (!closing.#ready) throw new Error(`The process ended with ${closing.#child.exitCode}`);
    return closing;
  }

  /**
   * Closes the queue of the process. Resolves to the exit code and the resources that were active
   * after `close()`. The exit code is `hung` if the process had to be killed.
   */
  async close(): Promise<{ readonly exit: unknown; readonly resources: readonly string[] | undefined }> {
    this.#child.kill('SIGTERM');
    await eventually(() => this.#resources !== undefined || this.#child.exitCode !== null);
    const killer = setTimeout(() => this.kill(), LONGEST);
    const [code, signal] = await this.#ended;
    clearTimeout(killer);
    return { exit: signal === null ? code : 'hung', resources: this.#resources };
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

/**
 * Returns a function that expects a process to exit by itself after it has closed its queue. The
 * server accepts connections but does not answer until the process has ended.
 */
export function closingProcesses<Server extends FaultyServer>(stage: Stage<Server>) {
  return async (settings: Pick<ClosingSettings, 'role' | 'handedIn'>): Promise<void> => {
    if (settings.role === 'consumer') await stage.open().queue.publish('key', { n: 1 });
    const { proxy, url } = await stage.proxy();
    const options = { url, name: stage.name, publishTimeout: 4000 };
    const process = await ClosingProcess.start({ backend: stage.broker.backend, options, ...settings });
    stage.ending(() => process.kill());
    proxy.stall();
    const { exit, resources } = await process.close();
    expect(exit).toBe(0);
    expect(resources).not.toContain('Timeout');
  };
}
