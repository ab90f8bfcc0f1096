import { createHash } from 'node:crypto';

/** A script, which a server knows by the hash of its text once it has seen the text. */
export class Script {
  readonly #text: string;
  readonly #hash: string;

  constructor(text: string) {
    this.#text = text;
    this.#hash = createHash('sha1').update(text).digest('hex');
  }

  /** The command that calls the script by its hash. A server that does not know the script replies with NOSCRIPT. */
  byHash(keys: readonly string[], args: readonly string[]): string[] {
    return ['EVALSHA', this.#hash, String(keys.length), ...keys, ...args];
  }

  byText(keys: readonly string[], args: readonly string[]): string[] {
    return ['EVAL', this.#text, String(keys.length), ...keys, ...args];
  }
}
