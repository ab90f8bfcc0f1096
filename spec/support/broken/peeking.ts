import { setImmediate as turn } from 'node:timers/promises';
import type { MessageView, PeekOptions } from 'sluice';
import { numberOf } from '../consumers.js';
import { ManagedStore } from '../managed-store.js';
import { brokenQueues, type Change, type DefectiveQueue } from './managed.js';

const SAYS = 'admin: peek() shows what a delivery will say, in order';
const TAKES = 'admin: peek() takes nothing: a consumer then gets all messages, with attempt 1';
const SETTLED = 'admin: peek() shows no message that is in flight or settled';
const REQUEUED = 'admin: peek() shows a requeued message in its place, with the next attempt';
const DELAYED = 'admin: peek() shows delayed messages after those that are ready, by `due`';
const LIMIT = 'admin: peek() shows `limit` messages at most, 20 by default';
const ONE_GROUP = 'admin: peek() shows the messages of one group';
const UNSUPPORTED = 'admin: peek() that the engine cannot do rejects with an UnsupportedOperationError';

/** Replaces `peek()`. */
function peeking(peek: (queue: DefectiveQueue, options: PeekOptions) => Promise<MessageView[]>): Change {
  return (queue) => ({ peek: (options = {}) => peek(queue, options) });
}

/** Changes the views of `peek()`. */
function showing(change: (view: MessageView) => Partial<MessageView>): Change {
  return peeking(async (queue, options) => (await queue.peek(options)).map((view) => ({ ...view, ...change(view) })));
}

/** Shows all unsettled messages. */
class UnfinishedStore extends ManagedStore {
  override async peek(name: string, group: string, limit: number): Promise<MessageView[]> {
    const entries = [...(this.queue(name).groups.get(group)?.values() ?? [])];
    const claims = entries.map(({ claim }) => claim);
    for (const entry of entries) entry.claim = undefined;
    const views = super.peek(name, group, limit);
    await turn();
    for (const [index, entry] of entries.entries()) entry.claim = claims[index];
    return views;
  }
}

/** Claims messages and requeues them, or not. */
class ClaimingStore extends ManagedStore {
  constructor(readonly requeues: boolean) {
    super();
  }

  override async peek(name: string, group: string, limit: number): Promise<MessageView[]> {
    const views = await super.peek(name, group, limit);
    const { messages } = await this.claim(name, group, limit);
    if (this.requeues) {
      const back = (attempt: number) => ({ attempt: attempt + 1, due: 0 });
      await Promise.all(messages.map((message) => this.settle(name, group, message.receipt, back(message.attempt))));
    }
    return views;
  }
}

/** The order in which the cases publish. */
const byNumber = (a: MessageView, b: MessageView) => numberOf(a.payload) - numberOf(b.payload);

/** Managed queues with defects in `peek()`. */
export const peekingBackends = brokenQueues([
  {
    defect: 'shows payloads as text',
    caughtBy: SAYS,
    saying: /peek\(\) to show \[1 2 3 4\]/,
    change: showing(({ payload }) => ({ payload: JSON.stringify(payload) as unknown as object })),
  },
  {
    defect: 'shows no headers',
    caughtBy: SAYS,
    saying: /Expected peek\(\) to show what the deliveries say/,
    change: showing(() => ({ headers: {} })),
  },
  {
    defect: 'shows another id than the delivery',
    caughtBy: SAYS,
    saying: /- 'id-4'/,
    change: showing(({ id }) => ({ id: `row-${id}` })),
  },
  {
    defect: 'shows a wrong publish time',
    caughtBy: SAYS,
    saying: /Expected peek\(\) to show what the deliveries say/,
    change: showing(({ publishedAt }) => ({ publishedAt: publishedAt + 1 })),
  },
  {
    defect: 'shows the last messages first',
    caughtBy: SAYS,
    saying: /peek\(\) to show \[1 2 3 4\], got \[4 3 2 1\]/,
    change: peeking(async (queue, options) => (await queue.peek(options)).toReversed()),
  },
  {
    defect: 'counts attempts from 0 when it shows them',
    caughtBy: SAYS,
    saying: /Expected `attempt` of \{"n":1,.+ to be 1, got 0/,
    change: showing(({ attempt }) => ({ attempt: attempt - 1 })),
  },
  {
    defect: 'takes what it shows',
    caughtBy: TAKES,
    saying: /peek\(\) to show \[1 2 3 4 5\], got \[\]/,
    store: new ClaimingStore(false),
  },
  {
    defect: 'takes what it shows and requeues it as a failed attempt',
    caughtBy: TAKES,
    saying: /Expected `attempt` of \{"n":1\} to be 1, got 6/,
    store: new ClaimingStore(true),
  },
  {
    defect: 'takes messages from a running consumer',
    caughtBy: 'admin: peek() does not disturb a running consumer',
    saying: /deliveries of \[1 2 3/,
    store: new ClaimingStore(false),
  },
  {
    defect: 'shows messages in flight',
    caughtBy: SETTLED,
    saying: /peek\(\) to show \[5 6\], got \[1 2 3 4 5 6\]/,
    store: new UnfinishedStore(),
  },
  {
    defect: 'shows requeued messages last',
    caughtBy: REQUEUED,
    saying: /peek\(\) to show \[1 2 4\], got \[4 1 2\]/,
    change: peeking(async (queue, options) => {
      const views = await queue.peek(options);
      // Only the nacked message has a higher attempt. The released one follows it here.
      const requeued = views.filter(({ attempt }, index) => attempt > 1 || views[index - 1]?.attempt === 2);
      return [...views.filter((view) => !requeued.includes(view)), ...requeued];
    }),
  },
  {
    defect: 'shows the last attempt instead of the next',
    caughtBy: REQUEUED,
    saying: /Expected `attempt` of \{"n":1\} to be 2, got 1/,
    change: showing(({ attempt }) => ({ attempt: Math.max(1, attempt - 1) })),
  },
  {
    defect: 'hides messages that were nacked with a delay',
    caughtBy: REQUEUED,
    saying: /peek\(\) to show \[1 2 4 3\], got \[1 2 4\]/,
    change: peeking(async (queue, options) =>
      (await queue.peek(options)).filter(({ due, attempt }) => due === undefined || attempt === 1),
    ),
  },
  {
    defect: 'hides delayed messages',
    caughtBy: DELAYED,
    saying: /peek\(\) to show \[2 5 3 4 1\], got \[2 5\]/,
    change: peeking(async (queue, options) => (await queue.peek(options)).filter(({ due }) => due === undefined)),
  },
  {
    defect: 'mixes delayed and ready messages',
    caughtBy: DELAYED,
    saying: /peek\(\) to show \[2 5 3 4 1\], got \[1 2 3 4 5\]/,
    change: peeking(async (queue, options) => (await queue.peek(options)).toSorted(byNumber)),
  },
  {
    defect: 'does not show when a message becomes due',
    caughtBy: DELAYED,
    saying: /Expected `due` of \{"n":3\} in 1 h, got undefined/,
    change: showing(() => ({ due: undefined })),
  },
  {
    defect: 'shows the remaining delay instead of the due time',
    caughtBy: DELAYED,
    saying: /Expected `due` of \{"n":3\} in 1 h, got 3\d+/,
    change: showing(({ due }) => (due === undefined ? {} : { due: due - Date.now() })),
  },
  {
    defect: 'shows the due time of a ready message',
    caughtBy: 'admin: peek() shows a message that became due without `due`',
    saying: /peek\(\) to show 1 and 2 without `due`/,
    change: showing(({ due, publishedAt }) => ({ due: due ?? publishedAt })),
  },
  {
    defect: 'ignores the limit',
    caughtBy: LIMIT,
    saying: /peek\(\) to show \[1 2 .+ 20\], got \[1 2 .+ 25\]/,
    change: peeking((queue, options) => queue.peek({ ...options, limit: 1000 })),
  },
  {
    defect: 'shows ten messages by default',
    caughtBy: LIMIT,
    saying: /peek\(\) to show \[1 2 .+ 20\], got \[1 2 3 4 5 6 7 8 9 10\]/,
    change: peeking((queue, options) => queue.peek({ limit: 10, ...options })),
  },
  {
    defect: 'shows a hundred messages at most',
    caughtBy: 'admin: peek() shows a thousand messages, in order',
    saying: /peek\(\) to show \[1 2 3/,
    change: peeking((queue, { limit = 20, ...options }) => queue.peek({ ...options, limit: Math.min(limit, 100) })),
  },
  {
    defect: 'accepts an invalid limit',
    caughtBy: 'admin: peek() refuses an invalid limit',
    saying: /Expected peek\(\) with a limit of 0 to reject, but it resolved/,
    change: peeking((queue, options) => queue.peek(options).catch(() => [])),
  },
  {
    defect: 'shows the messages of all groups',
    caughtBy: ONE_GROUP,
    saying: /peek\(\) to show \[1 3 4 5 6\], got \[1 3 4 2 5 6\]/,
    change: peeking(async (queue, options) => {
      const own = await queue.peek(options);
      const others = await Promise.all(queue.declared.map((group) => queue.peek({ group })));
      const more = others.flat().filter(({ id }) => !own.some((view) => view.id === id));
      return [...own, ...more].toSorted((a, b) => Number(a.due !== undefined) - Number(b.due !== undefined));
    }),
  },
  {
    defect: 'shows the messages of the first declared group by default',
    caughtBy: 'admin: peek() for a group that was not declared is refused with a ConfigurationError',
    saying: /Expected peek\(\) for an undeclared group to reject, but it resolved/,
    change: peeking((queue, options) => queue.peek({ group: queue.declared[0] as string, ...options })),
  },
  {
    defect: 'resolves to an empty list if it cannot peek',
    caughtBy: UNSUPPORTED,
    saying: /Expected peek\(\) to reject, but it resolved/,
    capabilities: { peek: false },
    change: peeking(async () => []),
  },
  {
    defect: 'rejects with another error if it cannot peek',
    caughtBy: UNSUPPORTED,
    saying: /Expected an UnsupportedOperationError, got Error: not implemented/,
    capabilities: { peek: false },
    change: peeking(() => Promise.reject(new Error('not implemented'))),
  },
]);
