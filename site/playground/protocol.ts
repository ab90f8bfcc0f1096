import type { Snapshot } from '../picture/snapshot.js';

/** A program of the reader, and how its time passes. */
export interface Program {
  /** TypeScript. */
  readonly code: string;
  readonly speed: Speed;
  /** Whether the time stands still at the start, for steps. */
  readonly paused: boolean;
}

/** How much virtual time passes in a unit of real time, > 0. `Infinity`: without waiting between timers. */
export type Speed = number;

/** What the page asks of a running program. */
export type Command =
  | { readonly type: 'speed'; readonly speed: Speed }
  | { readonly type: 'pause' | 'resume' }
  /** Runs the next timer, then pauses. */
  | { readonly type: 'step' };

export interface OutputLine {
  readonly level: 'log' | 'warn' | 'error';
  readonly text: string;
  /** The virtual time, in milliseconds since the start. */
  readonly now: number;
}

/** An error that ended the program, or that it could not be started with. */
export interface ProgramError {
  readonly message: string;
  /** The line of the reader's program, from 1 up. */
  readonly line?: number | undefined;
  readonly column?: number | undefined;
}

/**
 * `'finished'`: the program has ended and no timer is left. `'stuck'`: it has not answered for a
 * second, as in an endless loop.
 */
export type RunState = 'loading' | 'running' | 'paused' | 'stuck' | 'finished' | 'failed' | 'stopped';

/** What a running program reports to the page. */
export type Report =
  | { readonly type: 'state'; readonly state: RunState; readonly error?: ProgramError | undefined }
  | {
      readonly type: 'output';
      readonly lines: readonly OutputLine[];
      /** How many further lines were left out so far, because there were too many. */
      readonly omitted: number;
    }
  | { readonly type: 'picture'; readonly snapshot: Snapshot };

/** The states after which a program runs no more. */
export function isOver(state: RunState | undefined): boolean {
  return state === 'finished' || state === 'failed' || state === 'stopped';
}

/** A specifier in compiled code: the range to replace. */
interface Link {
  readonly specifier: string;
  readonly start: number;
  readonly end: number;
  /** Whether the range includes the quotes. */
  readonly quoted: boolean;
}

/** JavaScript that has the lines of the reader's program, with its imports. */
export interface Compiled {
  readonly code: string;
  readonly links: readonly Link[];
}

/** What `site/build/modules.mjs` bundles. */
export interface Bundle {
  /** The name of the module for each specifier. */
  readonly imports: Readonly<Record<string, string>>;
  /** The exported names for each specifier. */
  readonly exports: Readonly<Record<string, readonly string[]>>;
  /** Each after those that it imports, by `./NAME`. */
  readonly modules: readonly { readonly name: string; readonly code: string }[];
  /** The script of the worker, a classic one. */
  readonly worker: string;
  /** The script of the frame. */
  readonly frame: string;
}

/** What the worker starts with. */
export interface Start extends Pick<Bundle, 'imports' | 'modules'> {
  readonly program: Compiled;
  readonly speed: Speed;
  readonly paused: boolean;
}

/** What the page asks of the frame. The worker gets the port that comes with `'start'`. */
export type FrameRequest =
  | { readonly type: 'start'; readonly worker: string; readonly start: Start }
  | { readonly type: 'stop' }
  /** Finds the place of a syntax error in a module, and does not run it. */
  | { readonly type: 'locate'; readonly code: string };

/** What the frame tells the page. */
export type FrameReply =
  | { readonly type: 'ready' | 'stopped' }
  | { readonly type: 'broken'; readonly message: string }
  | { readonly type: 'located'; readonly line: number | undefined; readonly column: number | undefined };

/** What the worker tells the page by its port. */
export type WorkerMessage = Report | { readonly type: 'alive' };
