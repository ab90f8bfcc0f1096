/** How many times the usual timeout a slow server gets at most. */
const MAX_FACTOR = 12;

/** After how many answers in time the usual timeout applies again. */
const ANSWERS_UNTIL_USUAL = 1000;

/** How long a server may take to answer. After a late answer it may take longer: a slow link may carry part of a large reply, which no client sees. */
export class ResponseTimeout {
  readonly #usual: number;
  #factor = 1;
  /** Answers since the last late one. */
  #inTime = 0;

  /** @param usual in milliseconds */
  constructor(usual: number) {
    this.#usual = usual;
  }

  get milliseconds(): number {
    return this.#usual * this.#factor;
  }

  inTime(): void {
    if (++this.#inTime === ANSWERS_UNTIL_USUAL) this.#factor = 1;
  }

  late(): Error {
    this.#factor = Math.min(MAX_FACTOR, this.#factor * 2);
    this.#inTime = 0;
    return new Error('Redis did not answer in time');
  }
}
