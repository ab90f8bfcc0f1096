import { type Observable, Subject } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { turns } from './promises.js';
import { VirtualClock } from './virtual-clock.js';

type Values = Readonly<Record<string, unknown>>;

/** What happened in a frame: a value, the end, or an error. */
type Event = readonly [frame: number, kind: 'N' | 'C' | 'E', value: unknown];

/** Reads marbles as `run` of a `TestScheduler` does: a letter a millisecond. */
function parse(marbles: string, values?: Values): Event[] {
  const factor = TestScheduler.frameTimeFactor;
  TestScheduler.frameTimeFactor = 1;
  try {
    return TestScheduler.parseMarbles(marbles, values, undefined, undefined, true).map(({ frame, notification }) => [
      frame,
      notification.kind,
      notification.kind === 'N' ? notification.value : notification.kind === 'E' ? notification.error : undefined,
    ]);
  } finally {
    TestScheduler.frameTimeFactor = factor;
  }
}

/**
 * Marbles for promises, which a `TestScheduler` cannot put into virtual time: the clock advances
 * frame by frame, and promises settle in between.
 */
export class Frames {
  readonly #clock = new VirtualClock();
  readonly #recordings: { readonly seen: Event[]; readonly expected: Event[] }[] = [];
  #last = 0;

  get scheduler() {
    return this.#clock.scheduler;
  }

  /** A source that emits each letter in its frame. */
  readonly hot = (marbles: string): Observable<string> => {
    const source = new Subject<string>();
    for (const [frame, kind, value] of this.#parse(marbles))
      this.scheduler.schedule(() => {
        if (kind === 'N') source.next(value as string);
        else if (kind === 'C') source.complete();
        else source.error(value);
      }, frame);
    return source;
  };

  /** Work of a loop that takes some frames. */
  readonly busy = (frames: number): Promise<void> =>
    new Promise((resolve) => this.scheduler.schedule(() => resolve(), frames));

  /** Records what a loop shows, and its end. `run` compares both with the marbles. */
  readonly expectLoop = (loop: (show: (value: unknown) => void) => Promise<void>) => {
    const seen: Event[] = [];
    const note = (kind: Event[1], value?: unknown) => void seen.push([this.scheduler.frame, kind, value]);
    loop((value) => note('N', value)).then(
      () => note('C'),
      (error: unknown) => note('E', error),
    );
    return {
      toBe: (marbles: string, values?: Values) =>
        void this.#recordings.push({ seen, expected: this.#parse(marbles, values) }),
    };
  };

  /** Runs all frames of the marbles, and one more, in which nothing may happen. */
  readonly run = async (): Promise<void> => {
    this.#clock.advance(0);
    await turns();
    while (this.scheduler.frame <= this.#last) {
      this.#clock.advance(1);
      await turns();
    }
    for (const { seen, expected } of this.#recordings) expect(seen).toEqual(expected);
  };

  #parse(marbles: string, values?: Values): Event[] {
    const events = parse(marbles, values);
    this.#last = Math.max(this.#last, ...events.map(([frame]) => frame));
    return events;
  }
}

/** Runs a test with marbles for its promises. */
export async function inFrames(test: (frames: Frames) => void): Promise<void> {
  const frames = new Frames();
  test(frames);
  await frames.run();
}
