/** After how many answers in time the usual timeout applies again. */
const ANSWERS_UNTIL_USUAL = 1000;

/**
 * How long a server may take to answer. Each late answer doubles the timeout: the server or the
 * link may be slow, and a client does not see the parts of a large reply.
 */
export class ResponseTimeout {
  readonly #usual: number;
  readonly #maxFactor: number;
  #factor = 1;
  /** Answers in time since the last late one. */
  #inTime = 0;

  /**
   * @param usual in milliseconds
   * @param maxFactor how many times the usual timeout a slow server gets at most
   */
  constructor(usual: number, maxFactor: number) {
    this.#usual = usual;
    this.#maxFactor = maxFactor;
  }

  get milliseconds(): number {
    return this.#usual * this.#factor;
  }

  inTime(): void {
    if (++this.#inTime === ANSWERS_UNTIL_USUAL) this.#factor = 1;
  }

  late(): void {
    this.#factor = Math.min(this.#maxFactor, this.#factor * 2);
    this.#inTime = 0;
  }
}
