// The worker that runs the program of the reader. It starts in a sandboxed frame without
// network, with virtual time, and tells the page what happens by a port.

import { createObserver } from '../picture/observe.js';
import { VirtualClock } from './clock.js';
import { describeFailure } from './failure.js';
import { moduleUrls, programUrls } from './modules.js';
import { observedModule } from './observed.js';
import { captureConsole, Output } from './output.js';
import type { Command, ProgramError, RunState, Start, WorkerMessage } from './protocol.js';
import { Pump } from './pump.js';
import { every, realNow, settle, sleep, trackedTimeout } from './real-time.js';

/** How often the page hears that the worker is alive, in milliseconds. */
const HEARTBEAT = 250;

/** The shortest time between two pictures, in milliseconds. */
const PICTURE_PERIOD = 33;

/** The global function that the program calls when it begins. */
const BEGIN = '__playgroundBegins';

const NEVER_ENDS =
  'The program waits for something that never comes, such as a message or a `close()`. It ends here, as a process would.';

addEventListener(
  'message',
  ({ data, ports: [port] }: MessageEvent<Start>) => {
    // A message in the same form from the program itself has no meaning any more.
    if (port !== undefined) void start(data, port);
  },
  { once: true },
);

async function start({ imports, modules, program, speed, paused }: Start, port: MessagePort): Promise<void> {
  const post = port.postMessage.bind(port);
  const send = (message: WorkerMessage): void => post(message);
  const commands: Command[] = [];
  let command = (given: Command): void => {
    commands.push(given);
  };
  port.onmessage = ({ data }: MessageEvent<Command>) => command(data);
  every(HEARTBEAT, () => send({ type: 'alive' }));

  // The library captures timers when it is loaded. So it comes before the virtual ones.
  Object.assign(globalThis, { setTimeout: trackedTimeout });
  const urls = moduleUrls({ imports, modules });
  const urlOf = (specifier: string): string => urls[specifier] as string;
  const sluice = (await import(/* @vite-ignore */ urlOf('sluice'))) as typeof import('sluice');
  await import(/* @vite-ignore */ urlOf('rxjs/testing'));

  const clock = new VirtualClock();
  const output = new Output(
    () => clock.now,
    realNow,
    (lines, omitted) => send({ type: 'output', lines, omitted }),
  );
  captureConsole(console, output);
  const observer = createObserver(sluice, () => clock.now);
  const observed = await observedModule(urlOf('sluice'), sluice, observer);
  const { program: url, run } = programUrls(program, { ...urls, sluice: observed }, BEGIN);

  let changed = false;
  observer.onChange = () => {
    changed = true;
  };
  let shownAt = Number.NEGATIVE_INFINITY;
  const show = async (now: boolean): Promise<void> => {
    if (!now && (realNow() - shownAt < PICTURE_PERIOD || !(changed || output.pending))) return;
    shownAt = realNow();
    output.flush();
    if (!changed && !now) return;
    changed = false;
    send({ type: 'picture', snapshot: await observer.snapshot() });
  };

  let isDone = false;
  let isOver = false;
  const pump = new Pump({
    clock,
    speed,
    paused,
    realNow,
    sleep,
    settle,
    isDone: () => isDone,
    onRound: show,
    onPause: (isPaused) => send({ type: 'state', state: isPaused ? 'paused' : 'running' }),
  });
  const end = async (state: RunState, error?: ProgramError): Promise<void> => {
    if (isOver) return;
    isOver = true;
    pump.end();
    // The program may have broken what the picture needs. It has ended all the same.
    await show(true).catch(() => {});
    send({ type: 'state', state, error });
  };
  const fail = (thrown: unknown, place?: { readonly line: number }): void =>
    void end('failed', { ...place, ...describeFailure(thrown, url) });

  addEventListener('error', (event) => {
    event.preventDefault();
    const isOwn = event.lineno > 0 && (event.filename === url || event.filename.endsWith('playground.ts'));
    fail(event.error ?? event.message, isOwn ? { line: event.lineno } : undefined);
  });
  addEventListener('unhandledrejection', (event) => {
    event.preventDefault();
    fail(event.reason);
  });

  send({ type: 'state', state: paused ? 'paused' : 'running' });
  command = (given) => pump.command(given);
  for (const given of commands) command(given);
  // The message above leaves before a program that never yields.
  await settle();
  // The time begins with the program: not while the browser still loads it.
  await new Promise<void>((begin) => {
    Object.defineProperty(globalThis, BEGIN, { value: begin, configurable: true });
    const ended = import(/* @vite-ignore */ run).then(() => {
      isDone = true;
    }, fail);
    void ended.then(begin);
  });
  Reflect.deleteProperty(globalThis, BEGIN);
  try {
    const ended = await pump.run();
    if (!ended && !isOver) output.print('warn', NEVER_ENDS);
    await end('finished');
  } catch (error) {
    fail(error);
  }
}
