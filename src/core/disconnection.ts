/**
 * The end of a connection, which may come much later than the calls that it rejects. `Promise.race`
 * with one promise for the end would leak: that promise would keep the result of every race alive.
 */
export class Disconnection {
  readonly #waiting = new Set<(error: unknown) => void>();
  #come: { readonly error: unknown } | undefined;

  /** The connection has ended. Only the first call counts. */
  come(error: unknown): void {
    if (this.#come !== undefined) return;
    this.#come = { error };
    for (const fail of this.#waiting) fail(error);
    this.#waiting.clear();
  }

  /** Settles as `something` does. Rejects with the error of the end if that comes first. */
  before<Value>(something: Promise<Value>): Promise<Value> {
    return new Promise((resolve, reject) => {
      if (this.#come === undefined) this.#waiting.add(reject);
      else reject(this.#come.error);
      something.then(resolve, reject).finally(() => this.#waiting.delete(reject));
    });
  }
}
