import { connect } from 'node:net';
import { firstCommand, StrangeServer } from './strange-server.js';

/**
 * A proxy in front of a Redis server. It swallows the answer to one command and all later answers
 * on that connection: a client of Redis matches answers to commands by their order only.
 */
export class MuteProxy {
  /** The number of commands that have passed, by the kind that `kindOf` returns. */
  readonly seen = new Set<string>();
  readonly #server: StrangeServer;
  #muting: string | undefined;

  private constructor(server: StrangeServer) {
    this.#server = server;
  }

  /** @param kindOf returns the kind of a command */
  static async start(targetPort: number, kindOf: (command: readonly string[]) => string): Promise<MuteProxy> {
    const server = await StrangeServer.start((client) => {
      const target = connect(targetPort, '127.0.0.1');
      let text = '';
      let isMute = false;
      client.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1');
        for (let found = firstCommand(text); found !== undefined; found = firstCommand(text)) {
          text = text.slice(found.length);
          isMute = proxy.#passes(kindOf(found.command)) || isMute;
        }
        target.write(chunk);
      });
      target.on('data', (chunk: Buffer) => isMute || client.write(chunk));
      client.on('close', () => target.destroy());
      target.on('close', () => isMute || client.destroy()).on('error', () => undefined);
    });
    const proxy = new MuteProxy(server);
    return proxy;
  }

  get port(): number {
    return this.#server.port;
  }

  /** Whether the requested answer has been swallowed. */
  get hasMuted(): boolean {
    return this.#muting === undefined;
  }

  /** Swallows the answer to the next command of a kind. */
  mute(kind: string): void {
    this.#muting = kind;
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }

  /** Counts a command. Returns whether its answer must be swallowed. */
  #passes(kind: string): boolean {
    this.seen.add(kind);
    if (kind !== this.#muting) return false;
    this.#muting = undefined;
    return true;
  }
}
