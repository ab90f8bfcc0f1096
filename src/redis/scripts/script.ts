import { createHash } from 'node:crypto';

/** A script. Once a server has seen its text, the server knows it by its hash. */
export class Script {
  readonly #text: string;
  readonly #hash: string;

  constructor(text: string) {
    this.#text = text;
    this.#hash = createHash('sha1').update(text).digest('hex');
  }

  /** Calls the script by its hash. A server that does not know the script replies NOSCRIPT. */
  byHash(keys: readonly string[], args: readonly string[]): string[] {
    return ['EVALSHA', this.#hash, String(keys.length), ...keys, ...args];
  }

  byText(keys: readonly string[], args: readonly string[]): string[] {
    return ['EVAL', this.#text, String(keys.length), ...keys, ...args];
  }
}
