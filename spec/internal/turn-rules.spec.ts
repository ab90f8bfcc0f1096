import { DONE } from '../../src/internal/answers.js';
import { Turn } from '../../src/internal/turn.js';

/** A turn with a clock that a test sets, and macrotasks that it runs. */
class ManualTurn {
  time = 1000;
  reads = 0;
  readonly tasks: (() => void)[] = [];
  readonly others: (() => void)[] = [];
  readonly turn = new Turn(
    () => {
      this.reads++;
      return this.time;
    },
    (task) => this.tasks.push(task),
    (task) => this.others.push(task),
  );

  /** Uses up the budget of the run. */
  fill(): void {
    void this.turn.done();
    this.time += 5;
    void this.turn.done();
  }

  /** Runs the requested macrotasks. */
  macrotask(): void {
    for (const task of this.tasks.splice(0)) task();
  }
}

describe('Turn', () => {
  it('counts a promise and the one that is resolved with it once', () => {
    const manual = new ManualTurn();
    void manual.turn.value(1);
    const { reads } = manual;
    expect(manual.turn.doneWithLast()).toBe(DONE);
    expect(manual.reads).toBe(reads);
  });

  it('lets a promise that is resolved with another one wait with it', async () => {
    const manual = new ManualTurn();
    manual.fill();
    const order: string[] = [];
    const waiting = manual.turn.doneWithLast().then(() => order.push('done'));
    await Promise.resolve();
    order.push('macrotask');
    manual.macrotask();
    await waiting;
    expect(order).toEqual(['macrotask', 'done']);
  });

  it('has at most one other macrotask on its way', () => {
    const manual = new ManualTurn();
    for (let run = 0; run < 3; run++) {
      manual.fill();
      manual.macrotask();
    }
    expect(manual.others).toHaveLength(1);
  });

  it('requests another one if the first comes during a later run that waits', async () => {
    const manual = new ManualTurn();
    manual.fill();
    manual.macrotask();
    manual.fill();
    manual.others.shift()?.();
    expect(manual.others).toHaveLength(1);
    const waiting = manual.turn.doneWithLast();
    manual.others.shift()?.();
    await waiting;
  });

  it('gives an other macrotask up after a second', () => {
    const manual = new ManualTurn();
    manual.fill();
    manual.macrotask();
    manual.time += 1000;
    manual.fill();
    expect(manual.others).toHaveLength(2);
  });
});
