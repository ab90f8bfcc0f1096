import { AsyncResource } from 'node:async_hooks';
import { Turn } from '../../src/internal/turn.js';
import { Contexts } from '../support/contexts.js';
import { runScript } from '../support/run-script.js';

type Module = typeof import('../../src/internal/async-context.js');

/** Loads the module with another `process.getBuiltinModule`. */
function on(getBuiltinModule: unknown): Module {
  const original = process.getBuiltinModule;
  process.getBuiltinModule = getBuiltinModule as typeof original;
  try {
    let module!: Module;
    jest.isolateModules(() => {
      module = require('../../src/internal/async-context.js');
    });
    return module;
  } finally {
    process.getBuiltinModule = original;
  }
}

/** Runs a task in the context `captured`, called from the context `caller`. */
function enter({ AsyncContext }: Module, contexts: Contexts): void {
  const context = contexts.in('captured', () => new AsyncContext());
  const note = (what: string) => contexts.note(what);
  contexts.in('caller', () => {
    context.run(() => note('run'));
    context.bind(note)('bound');
  });
}

describe('AsyncContext', () => {
  it('is entered if no hooks show that a storage is in use, as in Node 24', () => {
    const contexts = new Contexts();
    const module = on(() => ({ AsyncResource, AsyncLocalStorage: class {} }));
    expect(module.isContextInUse()).toBe(true);
    enter(module, contexts);
    expect(contexts.notes).toEqual(['run in captured', 'bound in captured']);
  });

  it.each([undefined, () => undefined])('is that of the caller without node:async_hooks: %p', (getBuiltinModule) => {
    const contexts = new Contexts();
    const module = on(getBuiltinModule);
    enter(module, contexts);
    expect(module.isContextInUse()).toBe(false);
    expect(contexts.notes).toEqual(['run in caller', 'bound in caller']);
  });
});

describe('A task that waits for its turn', () => {
  it('runs in the context of its call, not in that of the macrotask', () => {
    const contexts = new Contexts();
    const macrotasks: (() => void)[] = [];
    let now = 0;
    const turn = new Turn(
      () => now,
      (task) => macrotasks.push(task),
      () => {},
    );
    turn.run(() => {});
    now = 1000;
    for (const name of ['first', 'second']) contexts.in(name, () => turn.run(() => contexts.note(name)));
    contexts.in('macrotask', () => macrotasks[0]?.());
    expect(contexts.notes).toEqual(['first in first', 'second in second']);
  });
});

it('An async context is entered from the first storage on, even by code that was compiled before', async () => {
  const script = `
    const { AsyncLocalStorage } = await import('node:async_hooks');
    const { handle, MemoryBackend } = sluice;
    let storage;
    let others = 0;
    let messages = 0;
    const look = () => {
      messages++;
      if (storage?.getStore() !== undefined) others++;
    };
    const subscribed = new MemoryBackend();
    const handled = new MemoryBackend();
    subscribed.deliveries().subscribe((delivery) => {
      look();
      void delivery.ack();
    });
    handled.deliveries().pipe(handle(look)).subscribe();
    const publish = (count) => {
      for (let n = 0; n < count; n++) for (const queue of [subscribed, handled]) void queue.publish('number', { n });
    };
    publish(100_000);
    storage = new AsyncLocalStorage();
    storage.run('publisher', () => publish(1000));
    setTimeout(() => console.log(messages, others), 10);
  `;
  expect(await runScript(script)).toEqual({ exit: 0, output: '202000 0' });
});
