import { upTo } from '../support/consumers.js';
import { ITERATOR_CASES, type IteratorCase, type IteratorSubject } from '../support/iterator-subjects.js';
import { turns } from '../support/promises.js';
import { listenersOf } from '../support/signals.js';

type Step = 'next' | 'push' | 'end';

const ENDS = ['return', 'throw', 'abort', 'complete', 'fail'] as const;
type End = (typeof ENDS)[number];

const GAPS = {
  none: () => undefined,
  'a microtask': () => Promise.resolve(),
  'a macrotask': () => turns(1),
} as const;
type Gap = keyof typeof GAPS;

const boom = new Error('boom');

/** Every order of `next` calls, `push` calls and one end. */
function interleavings(next: number, push: number, end: number): Step[][] {
  if (next + push + end === 0) return [[]];
  const begin = (step: Step, rest: Step[][]): Step[][] => rest.map((steps) => [step, ...steps]);
  return [
    ...(next > 0 ? begin('next', interleavings(next - 1, push, end)) : []),
    ...(push > 0 ? begin('push', interleavings(next, push - 1, end)) : []),
    ...(end > 0 ? begin('end', interleavings(next, push, end - 1)) : []),
  ];
}

/**
 * The expected result of each `next()`, in order. If the consumer ends, only earlier values count.
 */
function expected(steps: readonly Step[], end: End): (number | 'done' | 'failed')[] {
  const endAt = steps.indexOf('end');
  const before = steps.slice(0, endAt);
  const pushed = before.filter((step) => step === 'push').length;
  const askedBefore = before.filter((step) => step === 'next').length;
  const asked = steps.filter((step) => step === 'next').length;
  const endedBySource = end === 'complete' || end === 'fail';
  return upTo(asked).map((call) => {
    if (call <= pushed && (endedBySource || call <= askedBefore)) return call;
    return end === 'fail' && call === pushed + 1 ? 'failed' : 'done';
  });
}

function perform(subject: IteratorSubject, end: End, controller: AbortController): Promise<unknown> {
  switch (end) {
    case 'return':
      return subject.iterator.return();
    case 'throw':
      return subject.iterator.throw(boom).catch((error: unknown) => error);
    case 'abort':
      controller.abort();
      return Promise.resolve();
    case 'complete':
      subject.complete();
      return Promise.resolve();
    case 'fail':
      subject.fail?.(boom);
      return Promise.resolve();
  }
}

interface Run {
  readonly steps: readonly Step[];
  readonly end: End;
  readonly gap: Gap;
}

/** Runs one order of calls. Returns a list of violations. */
async function play({ create, givesBackLast }: IteratorCase, { steps, end, gap }: Run): Promise<string[]> {
  const controller = new AbortController();
  const subject = create(controller.signal);
  const answers: (number | 'done' | 'failed' | 'pending')[] = [];
  const wrong: string[] = [];
  let pushes = 0;
  let ended: Promise<unknown> = Promise.resolve();
  for (const step of steps) {
    if (step === 'push') subject.push(++pushes);
    else if (step === 'end') ended = perform(subject, end, controller);
    else {
      const call = answers.push('pending') - 1;
      subject.iterator.next().then(
        ({ done, value }) => {
          answers[call] = done ? 'done' : subject.read(value);
        },
        (error: unknown) => {
          answers[call] = error === boom ? 'failed' : 'pending';
        },
      );
    }
    await GAPS[gap]();
  }
  await ended;
  await turns();
  const should = expected(steps, end);
  if (JSON.stringify(answers) !== JSON.stringify(should)) wrong.push(`answers ${answers}, expected ${should}`);

  // A last next(), which also acknowledges the delivery that an abort left with the body.
  const last = await subject.iterator.next().catch(() => ({ done: false, value: undefined }));
  if (end !== 'complete' && end !== 'fail' && (!last.done || last.value !== undefined))
    wrong.push('a next() after the end did not return done');
  await subject.iterator.return();
  if (listenersOf(controller.signal) > 0) wrong.push('a listener was left');
  if (subject.connected()) wrong.push('still connected');
  if (subject.rest !== undefined && end !== 'complete') {
    const handedOver = should.filter((answer) => typeof answer === 'number').length;
    // The end requeues only the last delivery, unless a later next() acknowledged it.
    const before = steps.slice(0, steps.indexOf('end')).filter((step) => step === 'next').length;
    const givenBack = givesBackLast && end !== 'abort' && handedOver > 0 && handedOver === before ? 1 : 0;
    const rest = upTo(pushes).slice(handedOver - givenBack);
    if (subject.unfinished?.() !== rest.length)
      wrong.push(`unfinished ${subject.unfinished?.()}, expected ${rest.length}`);
    else {
      const found = await subject.rest();
      if (String(found) !== String(rest)) wrong.push(`left in the queue ${found}, expected ${rest}`);
    }
  }
  return wrong;
}

describe.each(ITERATOR_CASES)('Pending next() calls of $name', (subjectCase) => {
  const canFail = subjectCase.create().fail !== undefined;

  it.each(ENDS.filter((end) => end !== 'fail' || canFail))(
    'get the right results when the iteration ends with %s at every possible point',
    async (end) => {
      const failures: string[] = [];
      for (const gap of Object.keys(GAPS) as Gap[]) {
        const runs = interleavings(3, 3, 1).map(async (steps) => {
          const wrong = await play(subjectCase, { steps, end, gap });
          if (wrong.length > 0) failures.push(`${steps.join(' ')} (gap: ${gap}): ${wrong.join('; ')}`);
        });
        await Promise.all(runs);
      }
      expect(failures).toEqual([]);
    },
  );
});
