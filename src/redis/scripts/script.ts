import { createHash } from 'node:crypto';

/** A script as the server knows it: by the hash of its text, or where it has not seen it yet, by its text. */
export class Script {
  readonly #source: string;
  readonly #hash: string;

  constructor(source: string) {
    this.#source = source;
    this.#hash = createHash('sha1').update(source).digest('hex');
  }

  /** The command that calls it by its hash, which the server answers with NOSCRIPT if it does not know it. */
  byHash(keys: readonly string[], args: readonly string[]): string[] {
    return ['EVALSHA', this.#hash, String(keys.length), ...keys, ...args];
  }

  byText(keys: readonly string[], args: readonly string[]): string[] {
    return ['EVAL', this.#source, String(keys.length), ...keys, ...args];
  }
}
