import fc from 'fast-check';
import { BlockQueue } from '../../src/internal/block-queue.js';
import { Heap } from '../../src/internal/heap.js';
import { type Linked, LinkedList } from '../../src/internal/linked-list.js';
import { type Details, MessageBuffer } from '../../src/memory/message-buffer.js';

/** Series of pushes and shifts that span several blocks. */
const steps = fc.array(fc.integer({ min: -40_000, max: 40_000 }), { maxLength: 12, size: 'max' });

describe('BlockQueue and an array', () => {
  it('return values in the order of their pushes', () => {
    fc.assert(
      fc.property(steps, (steps) => {
        const queue = new BlockQueue<number>();
        let pushed = 0;
        let shifted = 0;
        for (const step of steps) {
          for (let i = 0; i < step; i++) queue.push(pushed++);
          for (let i = 0; i < -step && queue.length > 0; i++) {
            const value = queue.shift();
            if (value !== shifted++) throw new Error(`Expected ${shifted - 1}, got ${value}`);
          }
          expect(queue.length).toBe(pushed - shifted);
          let yielded = shifted;
          for (const value of queue) {
            if (value !== yielded++) throw new Error(`Expected iteration to yield ${yielded - 1}, got ${value}`);
          }
          expect(yielded).toBe(pushed);
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe('MessageBuffer and an array', () => {
  const message = fc.record({
    key: fc.constantFrom('a', 'b'),
    // Times, like most details, and sometimes other objects, each of which starts a new run.
    details: fc.oneof(
      { weight: 5, arbitrary: fc.nat(2) },
      { weight: 1, arbitrary: fc.object() as unknown as fc.Arbitrary<Details> },
    ),
  });

  it('return each message with its own key and details', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(message, fc.constant('shift' as const)), { maxLength: 200, size: 'max' }),
        (steps) => {
          const buffer = new MessageBuffer();
          const model: { key: string; payload: object; details: Details }[] = [];
          for (const step of steps) {
            if (step === 'shift') {
              const first = model.shift();
              if (first === undefined) continue;
              expect([buffer.key, buffer.details]).toEqual([first.key, first.details]);
              expect(buffer.shift()).toBe(first.payload);
            } else {
              const payload = {};
              buffer.push(step.key, payload, step.details);
              model.push({ ...step, payload });
            }
            expect(buffer.length).toBe(model.length);
          }
          expect([...buffer]).toEqual(model);
        },
      ),
    );
  });
});

describe('Heap and a sorted array', () => {
  it('pop the least value', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.nat(50), fc.constantFrom('pop' as const, 'drain' as const)), {
          maxLength: 100,
          size: 'max',
        }),
        (steps) => {
          const heap = new Heap<number>((one, other) => one < other);
          const model: number[] = [];
          for (const step of steps) {
            if (step === 'pop') expect(heap.pop()).toBe(model.shift());
            else if (step === 'drain') expect(heap.drain()).toEqual(model.splice(0));
            else {
              heap.push(step);
              model.push(step);
              model.sort((one, other) => one - other);
            }
            expect([heap.length, heap.peek()]).toEqual([model.length, model[0]]);
          }
        },
      ),
    );
  });
});

describe('LinkedList and an array', () => {
  it('keep the same order through removals', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(9)), { maxLength: 100, size: 'max' }), (steps) => {
        const list = new LinkedList<Linked>();
        const other = new LinkedList<Linked>();
        const members = Array.from(
          { length: 10 },
          (): Linked => ({ list: undefined, before: undefined, after: undefined }),
        );
        const model: Linked[] = [];
        for (const [append, index] of steps) {
          const member = members[index] as Linked;
          const present = model.includes(member);
          expect(other.remove(member)).toBe(false);
          if (append && !present) {
            list.append(member);
            model.push(member);
          } else if (!append) {
            expect(list.remove(member)).toBe(present);
            if (present) model.splice(model.indexOf(member), 1);
          }
          expect(membersOf(list)).toEqual(model);
        }
      }),
    );
  });
});

function membersOf(list: LinkedList<Linked>): Linked[] {
  const members: Linked[] = [];
  for (let member = list.first; member !== undefined; member = member.after) members.push(member);
  return members;
}
