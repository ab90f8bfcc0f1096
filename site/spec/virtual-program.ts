import FakeTimers from '@sinonjs/fake-timers';
import * as rxjs from 'rxjs';
import * as testing from 'rxjs/testing';
import * as sluice from 'sluice';
import { transform } from 'sucrase';
import { createObserver, type Observer } from '../picture/observe';
import type { Snapshot } from '../picture/snapshot';

/** What a program did. */
export interface ProgramRun {
  /** The lines of `console.log`. */
  readonly output: readonly string[];
  /** All lines of the console with their virtual times, also those of the library. */
  readonly lines: readonly string[];
  /** A snapshot after each timer, and one at the end. Empty if it was not observed. */
  readonly snapshots: readonly Snapshot[];
  /** How often the observer reported a change. */
  readonly changes: number;
  /** How long it took, in virtual milliseconds. */
  readonly duration: number;
  /** How many timers are left. */
  readonly timers: number;
}

/** Before the timers are replaced: promises of the library wait for a macrotask now and then. */
const { setImmediate } = globalThis;
const ROUNDS = 5;
/** How long a program may wait for such a macrotask when no timer is left, in rounds. */
const LAST_ROUNDS = 200;

/** More timers than any of the programs starts: an endless one fails. */
const MOST_TIMERS = 5000;

/** Runs a TypeScript program in virtual time, with observed queues or with those of the library. */
export async function runProgram(code: string, isObserved: boolean): Promise<ProgramRun> {
  const clock = FakeTimers.install({ now: 1_000_000, ignoreMissingTimers: true });
  const start = clock.now;
  try {
    const observer = isObserved ? createObserver(sluice, () => clock.now - start) : undefined;
    let changes = 0;
    if (observer !== undefined) observer.onChange = () => changes++;
    const output: string[] = [];
    const lines: string[] = [];
    const line = (level: string) => {
      return (...values: readonly unknown[]) => {
        // The details of a log line of the library are an object.
        const text = values.filter((value) => level === 'log' || typeof value === 'string').join(' ');
        if (level === 'log') output.push(text);
        lines.push(`${clock.now - start} ${level}: ${withoutIds(text)}`);
      };
    };
    const fakeConsole = { log: line('log'), warn: line('warn'), error: line('error'), debug: line('debug') };
    const original = { ...console };
    Object.assign(console, fakeConsole);
    const snapshots: Snapshot[] = [];
    let ended: { readonly error?: unknown } | undefined;
    try {
      const program = compile(code, {
        sluice: observer === undefined ? sluice : observed(observer),
        rxjs,
        'rxjs/testing': testing,
      });
      program(console).then(
        () => (ended = {}),
        (error: unknown) => (ended = { error }),
      );
      for (let count = 0; count < MOST_TIMERS; count++) {
        await clock.tickAsync(0);
        await rounds(ROUNDS, () => false);
        if (clock.countTimers() === 0) await rounds(LAST_ROUNDS, () => ended !== undefined || clock.countTimers() > 0);
        if (observer !== undefined) snapshots.push(await observer.snapshot());
        if (clock.countTimers() === 0) break;
        await clock.nextAsync();
      }
    } finally {
      Object.assign(console, original);
    }
    if (ended === undefined) throw new Error(`Expected the program to end, but it waits for nothing`);
    if (ended.error !== undefined) throw ended.error;
    return { output, lines, snapshots, changes, duration: clock.now - start, timers: clock.countTimers() };
  } finally {
    clock.uninstall();
  }
}

/** Waits for some macrotasks, until a condition holds. */
async function rounds(most: number, isOver: () => boolean): Promise<void> {
  for (let round = 0; round < most && !isOver(); round++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** The library, as the worker gives it to a program: its queues are observed. */
function observed(observer: Observer): typeof sluice {
  const MemoryBackend = new Proxy(sluice.MemoryBackend, {
    construct: (target, [options], newTarget) =>
      observer.observe(Reflect.construct(target, [options], newTarget), options),
  });
  return { ...sluice, MemoryBackend };
}

/** Ids of messages are random without an observer. */
function withoutIds(text: string): string {
  return text.replaceAll(/delivery \S+ /g, 'delivery ID ');
}

function compile(code: string, modules: Readonly<Record<string, object>>): (console: Console) => Promise<void> {
  const compiled = transform(code, { transforms: ['typescript', 'imports'] }).code;
  const AsyncFunction = (async () => {}).constructor as FunctionConstructor;
  const program = new AsyncFunction('require', 'exports', 'console', compiled);
  const require = (name: string): object => {
    const found = modules[name];
    if (found === undefined)
      throw new Error(`Expected an import of sluice, rxjs or rxjs/testing, got ${JSON.stringify(name)}`);
    return found;
  };
  return (fakeConsole) => program(require, {}, fakeConsole) as Promise<void>;
}
