import type { Snapshot } from '../picture/snapshot.js';
import bundleUrl from './generated/modules.json?url';
import type {
  Bundle,
  Command,
  Compiled,
  FrameReply,
  FrameRequest,
  Program,
  ProgramError,
  Report,
  RunState,
  WorkerMessage,
} from './protocol.js';
import { isOver } from './protocol.js';

/** How often the sandbox looks whether the program is alive, in milliseconds. */
const WATCH = 250;

/** After how many looks without a sign of life the program is stuck: a second. */
const MOST_MISSED = 4;

/** How long to wait for the frame, in milliseconds. */
const FRAME_START = 20_000;
const FRAME_ANSWER = 2_000;

let bundle: Promise<Bundle> | undefined;

/** Fetches the modules of the sandbox, once. */
function loadBundle(): Promise<Bundle> {
  bundle ??= fetch(bundleUrl)
    .then((response) => {
      if (!response.ok) throw new Error(`Expected the modules of the playground, got status ${response.status}`);
      return response.json() as Promise<Bundle>;
    })
    .catch((error: unknown) => {
      // The next run tries again.
      bundle = undefined;
      throw error;
    });
  return bundle;
}

/**
 * Runs programs of the reader, one at a time, away from the page: in a worker, which can be ended in
 * an endless loop, inside of a frame without an origin and without network.
 */
export class Sandbox {
  readonly #host: HTMLElement;
  readonly #listener: (report: Report) => void;
  #frame: Frame | undefined;
  #run: Run | undefined;

  /** @param host the element that gets the hidden frame */
  constructor(host: HTMLElement, listener: (report: Report) => void) {
    this.#host = host;
    this.#listener = listener;
  }

  /** Ends the running program, and starts another one. */
  run(program: Program): void {
    this.#end();
    const run = new Run((report) => this.#report(run, report));
    this.#run = run;
    run.state('loading');
    void this.#start(run, program);
  }

  send(command: Command): void {
    this.#run?.send(command);
  }

  /** Ends the program, also one that does not answer. */
  stop(): void {
    const run = this.#run;
    if (run === undefined) return;
    this.#end();
    this.#listener({ type: 'state', state: 'stopped' });
  }

  dispose(): void {
    this.#end();
    this.#frame?.remove();
    this.#frame = undefined;
  }

  #end(): void {
    if (this.#run === undefined) return;
    this.#run.end();
    this.#run = undefined;
    const frame = this.#frame;
    if (frame === undefined) return;
    void frame.request({ type: 'stop' }, 'stopped').then((answer) => {
      // It does not answer: the frame goes, with all that runs in it.
      if (answer === undefined && this.#frame === frame) this.#removeFrame();
    });
  }

  #removeFrame(): void {
    this.#frame?.remove();
    this.#frame = undefined;
  }

  async #start(run: Run, program: Program): Promise<void> {
    try {
      const [{ worker, frame: script, imports, exports, modules }, { compile }] = await Promise.all([
        loadBundle(),
        import('./program.js'),
      ]);
      const compiled = await compile(program.code, exports);
      if (!run.isActive) return;
      this.#frame ??= new Frame(this.#host, script);
      const frame = this.#frame;
      if (!(await frame.ready)) throw new Error('The sandbox did not start in time');
      if (!run.isActive) return;
      run.compiled = compiled;
      const { speed, paused } = program;
      const start = { imports, modules, program: compiled, speed, paused };
      frame.onBroken = (message) => run.fail({ message });
      frame.send({ type: 'start', worker, start }, [run.connect()]);
    } catch (error) {
      const known = (error as { error?: ProgramError }).error;
      run.fail(known ?? { message: error instanceof Error ? error.message : String(error) });
    }
  }

  async #report(run: Run, report: Report): Promise<void> {
    if (this.#run !== run) return;
    const failure = report.type === 'state' && report.state === 'failed' ? report.error : undefined;
    if (failure?.message.startsWith('SyntaxError') && failure.line === undefined && run.compiled !== undefined) {
      // A browser tells the place of a syntax error only for the script of a document.
      const { code } = run.compiled;
      const answer = await this.#frame?.request({ type: 'locate', code }, 'located');
      // Another program may have started meanwhile.
      if (this.#run !== run) return;
      const { line, column } = answer?.type === 'located' ? answer : {};
      this.#listener({ type: 'state', state: 'failed', error: { ...failure, line, column } });
    } else this.#listener(report);
    if (report.type === 'state' && isOver(report.state) && this.#run === run) this.#end();
  }
}

/** One run of a program: what it says and whether it is alive. */
class Run {
  readonly #report: (report: Report) => void;
  readonly #commands: Command[] = [];
  compiled: Compiled | undefined;
  #port: MessagePort | undefined;
  #state: RunState | undefined;
  /** The state before it was stuck. */
  #before: RunState | undefined;
  #missed = 0;
  #watch: ReturnType<typeof setInterval> | undefined;

  constructor(report: (report: Report) => void) {
    this.#report = report;
  }

  /** Whether it has neither ended nor failed. */
  get isActive(): boolean {
    return this.#state !== undefined && !isOver(this.#state);
  }

  state(state: RunState, error?: ProgramError): void {
    this.#state = state;
    this.#report({ type: 'state', state, error });
  }

  fail(error: ProgramError): void {
    if (this.isActive) this.state('failed', error);
  }

  /** Returns the port for the worker. */
  connect(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    port1.onmessage = ({ data }: MessageEvent<WorkerMessage>) => this.#receive(data);
    for (const command of this.#commands.splice(0)) port1.postMessage(command);
    this.#watch = setInterval(() => this.#look(), WATCH);
    return port2;
  }

  send(command: Command): void {
    if (this.#port === undefined) this.#commands.push(command);
    else this.#port.postMessage(command);
  }

  end(): void {
    if (this.isActive) this.#state = 'stopped';
    clearInterval(this.#watch);
    this.#port?.close();
  }

  #receive(message: WorkerMessage): void {
    // A program can get hold of the port: what it forges must not break the page.
    if (!isMessage(message)) return;
    if (message.type === 'alive') this.#alive();
    else if (message.type === 'state') this.state(message.state, message.error);
    // An endless loop can print: that is no sign of life.
    else this.#report(message);
  }

  #alive(): void {
    this.#missed = 0;
    if (this.#state === 'stuck' && this.#before !== undefined) this.state(this.#before);
  }

  /**
   * Counts looks instead of time: while the page itself is busy, or the computer sleeps, it does not
   * look either.
   */
  #look(): void {
    if (document.hidden || (this.#state !== 'running' && this.#state !== 'paused')) return;
    if (++this.#missed <= MOST_MISSED) return;
    this.#before = this.#state;
    this.state('stuck');
  }
}

/** Whether a message has the shape that the worker gives it. */
function isMessage(message: unknown): message is WorkerMessage {
  const { type, state, lines, snapshot } = (message ?? {}) as Partial<Record<string, unknown>>;
  if (type === 'output') return Array.isArray(lines) && lines.every((line) => typeof line?.text === 'string');
  if (type === 'picture') return Array.isArray((snapshot as Partial<Snapshot> | null)?.queues);
  return type === 'alive' || (type === 'state' && typeof state === 'string');
}

/** The hidden frame: no origin, no network, no access to the page. */
class Frame {
  readonly #element: HTMLIFrameElement;
  readonly #listener: (event: MessageEvent<FrameReply>) => void;
  readonly #waiting = new Set<(reply: FrameReply) => void>();
  /** Resolves to whether it has started. */
  readonly ready: Promise<boolean>;
  /** Called when the worker could not be started. */
  onBroken: (message: string) => void = () => {};

  constructor(host: HTMLElement, script: string) {
    this.#element = document.createElement('iframe');
    this.#element.title = 'Sandbox of the program';
    // The theme shows every iframe, hidden or not.
    this.#element.style.display = 'none';
    this.#element.setAttribute('sandbox', 'allow-scripts');
    const policy = "default-src 'none'; script-src 'unsafe-inline' blob:; worker-src blob:";
    this.#element.srcdoc = `<!doctype html><meta http-equiv="Content-Security-Policy" content="${policy}"><script>${script.replaceAll('</script', '<\\/script')}</script>`;
    this.#listener = ({ source, data }) => {
      if (source !== this.#element.contentWindow) return;
      if (data.type === 'broken') this.onBroken(data.message);
      for (const waiting of [...this.#waiting]) waiting(data);
    };
    addEventListener('message', this.#listener);
    this.ready = this.#answer('ready', FRAME_START).then((reply) => reply !== undefined);
    host.append(this.#element);
  }

  send(request: FrameRequest, transfer: Transferable[] = []): void {
    // The frame has no origin that could be named.
    this.#element.contentWindow?.postMessage(request, '*', transfer);
  }

  /** Sends a request. Resolves to its answer; to undefined if there is none in time. */
  request(request: FrameRequest, type: FrameReply['type']): Promise<FrameReply | undefined> {
    const answer = this.#answer(type, FRAME_ANSWER);
    this.send(request);
    return answer;
  }

  remove(): void {
    removeEventListener('message', this.#listener);
    this.#element.remove();
  }

  #answer(type: FrameReply['type'], deadline: number): Promise<FrameReply | undefined> {
    return new Promise((resolve) => {
      const done = (reply?: FrameReply): void => {
        clearTimeout(timer);
        this.#waiting.delete(take);
        resolve(reply);
      };
      const take = (reply: FrameReply): void => {
        if (reply.type === type) done(reply);
      };
      const timer = setTimeout(done, deadline);
      this.#waiting.add(take);
    });
  }
}
