import fc from 'fast-check';
import { outcomeOf, turns } from '../support/promises.js';
import { type FakeLink, PATIENCE, Stage } from './fake-link.js';
import { fakeTime, pass } from './fakes.js';

beforeEach(fakeTime);

afterEach(() => jest.useRealTimers());

/** What happens to a link. Times are in milliseconds after the previous step. */
interface Fate {
  /** How long connecting and preparing take, and how they end. */
  readonly steps: readonly [takes: number, end: 'well' | 'retryable' | 'fatal'][];
  /** When the link breaks by itself. It may not be ready by then. */
  readonly breaks: number | undefined;
}

const takes = fc.constantFrom(0, 0, 1, 40, PATIENCE - 1, PATIENCE, PATIENCE + 1);

const fate: fc.Arbitrary<Fate> = fc.record({
  steps: fc.array(fc.tuple(takes, fc.constantFrom('well', 'well', 'well', 'retryable', 'fatal')), {
    minLength: 2,
    maxLength: 2,
  }),
  breaks: fc.option(fc.constantFrom(0, 1, 41, 500, 3000), { nil: undefined }),
});

function decide(link: FakeLink, { steps, breaks }: Fate): void {
  const phases = [link.connecting, link.preparing];
  const next = () => {
    const [phase, [takes, end]] = [phases.shift(), steps[1 - phases.length] ?? [0, 'well']];
    if (phase === undefined) return;
    link.after(takes, () => {
      if (end === 'well') phase.resolve();
      else phase.reject(`${end}: link ${link.number}`);
      next();
    });
  };
  next();
  if (breaks !== undefined) link.after(breaks, () => link.lost(`lost: link ${link.number} broke`));
}

type Step = readonly [what: 'ready' | 'acquire' | 'pass' | 'renew' | 'lose' | 'late news', n: number];

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constantFrom('ready' as const, 'acquire' as const), fc.constant(0)) },
  { weight: 5, arbitrary: fc.tuple(fc.constant('pass' as const), fc.constantFrom(0, 1, 25, 50, 400, PATIENCE, 6000)) },
  {
    weight: 3,
    arbitrary: fc.tuple(fc.constantFrom('renew' as const, 'lose' as const, 'late news' as const), fc.nat(5)),
  },
);

describe('Connection with links that fail at random', () => {
  it('has one link at a time, prepares it before use, and settles all waiting calls', async () => {
    const run = async (fates: readonly Fate[], steps: readonly Step[], closes: boolean) => {
      const stage = new Stage();
      const { connection, links, problems } = stage;
      const waits: Promise<unknown>[] = [];
      stage.onLink = (link) => decide(link, fates[link.number] ?? { steps: [], breaks: undefined });
      const wait = (what: 'ready' | 'acquire') => {
        const promise = what === 'ready' ? connection.ready() : connection.acquire();
        waits.push(
          promise.then((link) => {
            if (link !== undefined && !link.isPrepared)
              problems.push(`link ${link.number} was returned before it was prepared`);
          }),
        );
        promise.catch(() => {});
        waits.at(-1)?.catch(() => {});
      };
      for (const [what, n] of steps) {
        if (what === 'ready' || what === 'acquire') wait(what);
        else if (what === 'pass') await pass(n);
        else if (what === 'renew') connection.renew('lost: by hand');
        else if (links[n] !== undefined)
          what === 'lose' ? connection.lose(links[n], 'lost: by hand') : links[n].lost('fatal: late news');
        await turns(1);
        const { link, isReady, lastError } = connection;
        if (isReady) expect([link?.isPrepared, link?.isDestroyed, lastError]).toEqual([true, false, undefined]);
        expect(link === undefined || link === stage.link).toBe(true);
        expect(problems).toEqual([]);
      }
      if (closes) {
        connection.close();
        expect(await Promise.all(waits.map(async (wait) => (await outcomeOf(wait)).state))).not.toContain('pending');
      } else {
        // Every planned failure ends, and so does a link with a reported error. Later links work.
        for (let round = 0; round < fates.length + 2; round++) {
          wait('ready');
          await pass(PATIENCE * 2 + 5000 + 3000);
        }
        const outcomes = await Promise.all(waits.map((wait) => outcomeOf(wait)));
        const failures = outcomes.flatMap((outcome) => (outcome.state === 'rejected' ? [String(outcome.reason)] : []));
        expect(outcomes.filter(({ state }) => state === 'pending')).toEqual([]);
        expect(failures.filter((reason) => !reason.startsWith('fatal'))).toEqual([]);
        expect([outcomes.at(-1)?.state, connection.isReady]).toEqual(['fulfilled', true]);
        connection.close();
      }
      await turns(1);
      expect(problems).toEqual([]);
      expect([jest.getTimerCount(), links.filter(({ isDestroyed }) => !isDestroyed)]).toEqual([0, []]);
    };
    const property = fc.asyncProperty(
      fc.array(fate, { maxLength: 6 }),
      fc.array(step, { maxLength: 25, size: 'max' }),
      fc.boolean(),
      run,
    );
    await fc.assert(property, { numRuns: 150 });
  });
});
