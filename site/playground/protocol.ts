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
  | { readonly type: 'output'; readonly lines: readonly OutputLine[] }
  | { readonly type: 'picture'; readonly snapshot: Snapshot };
