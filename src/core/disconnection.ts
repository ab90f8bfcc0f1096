/**
 * The end of something that may last for long. What has to come before it is waited for by `before`: to race a promise of the end would keep, for as long as that is pending,
 * whatever came of each race.
 */
export class Disconnection {
  readonly #waiting = new Set<(error: unknown) => void>();
  #come: { readonly error: unknown } | undefined;

  /** It has come; the first time counts. */
  come(error: unknown): void {
    if (this.#come !== undefined) return;
    this.#come = { error };
    for (const fail of this.#waiting) fail(error);
    this.#waiting.clear();
  }

  /** What comes of something. Rejects with what has brought the end, if that comes first. */
  before<Value>(something: Promise<Value>): Promise<Value> {
    return new Promise((resolve, reject) => {
      if (this.#come === undefined) this.#waiting.add(reject);
      else reject(this.#come.error);
      something.then(resolve, reject).finally(() => this.#waiting.delete(reject));
    });
  }
}
