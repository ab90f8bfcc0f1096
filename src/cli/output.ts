import type { Writable } from 'node:stream';

/** Writes to a stream that may close at any time, such as a pipe into `head -1`. */
export class Output {
  readonly #stream: Writable & { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number };
  #isClosed = false;

  /**
   * @param closed called once the reader has closed the pipe
   * @param failed called if the stream fails otherwise, for instance because a disk is full
   */
  constructor(stream: Writable, { closed, failed }: { closed(): void; failed(error: Error): void }) {
    this.#stream = stream;
    stream.on('error', (error: NodeJS.ErrnoException) => {
      this.#isClosed = true;
      if (error.code === 'EPIPE') closed();
      else failed(error);
    });
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY === true;
  }

  /** The width of the terminal, in columns. Undefined: it is not known. */
  get columns(): number | undefined {
    return this.#stream.columns || undefined;
  }

  get rows(): number | undefined {
    return this.#stream.rows || undefined;
  }

  /** Resolves to whether the text was written. `false`: nobody reads it. */
  write(text: string): Promise<boolean> {
    if (this.#isClosed) return Promise.resolve(false);
    return new Promise((resolve) => {
      this.#stream.write(text, (error) => resolve(error === null || error === undefined));
    });
  }

  /** Calls back when the size of the terminal changes. Returns a function that ends this. */
  onResize(resized: () => void): () => void {
    this.#stream.on('resize', resized);
    return () => this.#stream.off('resize', resized);
  }
}
