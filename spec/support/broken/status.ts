import { concat, EMPTY, map, NEVER, type Observable, of, ReplaySubject, Subject, takeWhile } from 'rxjs';
import type { QueueStatus } from 'sluice';
import type { ManagedStoreBackend } from '../managed-store.js';
import { brokenQueues, type Change } from './managed.js';

const USED = "admin: `status$` is 'idle' before the first use and 'connected' after it";
const CLOSED = "admin: `status$` completes after 'closed', also for a subscriber that comes later";
const UNUSED = "admin: `status$` of a queue that nothing has used goes from 'idle' to 'closed'";
const LOST = "admin: `status$` is 'disconnected' after a lost connection, and 'connected' again after it";

/** Another `status$`, made of that of the queue. */
function telling(change: (queue: ManagedStoreBackend) => Observable<QueueStatus>): Change {
  return (queue) => ({ status$: change(queue) });
}

/** What a subject of this kind emits. */
function through(subject: Subject<QueueStatus>): Change {
  return telling((queue) => {
    queue.status$.subscribe(subject);
    return subject;
  });
}

/** Loses its connection in another way. */
function losing(disconnect: (queue: ManagedStoreBackend) => Promise<void>): Change {
  return (queue) => {
    Object.assign(queue, { disconnect: () => disconnect(queue) });
    return {};
  };
}

/** The status of the first queue that was made, for all. */
let first: ManagedStoreBackend | undefined;

/** Managed queues whose `status$` is wrong. */
export const tellingWrongly = brokenQueues([
  {
    defect: 'has no `status$`, though it promises one',
    caughtBy: USED,
    saying: /Expected `status\$` of a managed queue to be an Observable/,
    change: telling(() => undefined as unknown as Observable<QueueStatus>),
  },
  {
    defect: 'tells changes of the status only',
    caughtBy: USED,
    saying: /Expected `status\$` to emit 'idle' at once/,
    change: (queue) => through(new Subject())(queue),
  },
  {
    defect: 'connects when it is created',
    caughtBy: USED,
    saying: /Expected `status\$` to emit 'idle' at once/,
    change: (queue) => {
      queue.status.next('connected');
      return {};
    },
  },
  {
    defect: 'connects when its status is subscribed to',
    caughtBy: USED,
    saying: /Expected `status\$` to stay 'idle' before the first use/,
    change: (queue) => {
      setImmediate(() => queue.status.next('connected'));
      return {};
    },
  },
  {
    defect: 'tells each status twice',
    caughtBy: USED,
    saying: /Expected `status\$` to emit 'idle' at once/,
    change: telling((queue) => concat(of<QueueStatus>('idle'), queue.status$)),
  },
  {
    defect: 'tells a new subscriber the whole history',
    caughtBy: USED,
    saying: /Expected a new subscriber of `status\$` to get 'connected' at once/,
    change: (queue) => through(new ReplaySubject())(queue),
  },
  {
    defect: 'has names of its own for statuses',
    caughtBy: USED,
    saying: /`status\$` to emit 'connected', got idle, open/,
    change: telling((queue) =>
      queue.status$.pipe(map((status) => (status === 'connected' ? ('open' as QueueStatus) : status))),
    ),
  },
  {
    defect: 'repeats a status',
    caughtBy: USED,
    saying: /Expected no status twice in a row, got idle, connected, connected/,
    change: telling((queue) => {
      const { status } = queue;
      const { publish } = queue;
      Object.assign(queue, {
        publish: async (...message: Parameters<ManagedStoreBackend['publish']>) => {
          await publish.apply(queue, message);
          status.next('connected');
        },
      });
      return status;
    }),
  },
  {
    defect: 'is idle until something was published',
    caughtBy: "admin: `status$` becomes 'connected' when a consumer subscribes, or `stats()` is called",
    saying: /`status\$` to emit 'connected', got idle/,
    change: telling(() => concat(of<QueueStatus>('idle'), NEVER)),
  },
  {
    defect: 'does not complete after it was closed',
    caughtBy: CLOSED,
    saying: /Waited \d+ ms for `status\$` to complete/,
    change: telling((queue) => queue.status),
  },
  {
    defect: 'does not tell that it was closed',
    caughtBy: CLOSED,
    saying: /`status\$` to emit 'closed', got idle, connected/,
    change: telling((queue) => queue.status$.pipe(takeWhile((status) => status !== 'closed'))),
  },
  {
    defect: 'tells a late subscriber nothing but the completion',
    caughtBy: CLOSED,
    saying: /Expected a late subscriber of `status\$` to get 'closed'/,
    change: (queue) => ({
      get status$() {
        return queue.status.value === 'closed' ? EMPTY : queue.status$;
      },
    }),
  },
  {
    defect: 'does not complete for a late subscriber',
    caughtBy: CLOSED,
    saying: /Expected `status\$` of a closed queue to complete at once/,
    change: (queue) => ({
      get status$() {
        return queue.status.value === 'closed' ? concat(of<QueueStatus>('closed'), NEVER) : queue.status$;
      },
    }),
  },
  {
    defect: 'does not close what was never used',
    caughtBy: UNUSED,
    saying: /Waited \d+ ms for `status\$` to complete/,
    change: (queue) => ({ close: async () => (queue.status.value === 'idle' ? undefined : queue.close()) }),
  },
  {
    defect: 'connects to close what was never used',
    caughtBy: UNUSED,
    saying: /\+ {3}'connected'/,
    change: (queue) => ({
      close: async () => {
        await queue.stats();
        await queue.close();
      },
    }),
  },
  {
    defect: 'tells the status of another queue',
    caughtBy: "admin: `status$` tells each backend's own state",
    saying: /\+ {3}'connected'/,
    change: telling((queue) => {
      first ??= queue;
      return first.status$;
    }),
  },
  {
    defect: 'does not tell that its connection was lost',
    caughtBy: LOST,
    saying: /`status\$` to emit 'disconnected', then 'connected', got idle, connected/,
    change: losing(async () => {}),
  },
  {
    defect: 'does not tell that it has reconnected',
    caughtBy: LOST,
    saying: /`status\$` to emit 'disconnected', then 'connected', got idle, connected, disconnected/,
    change: losing(async (queue) => queue.status.next('disconnected')),
  },
  {
    defect: 'is idle again when its connection was lost',
    caughtBy: LOST,
    saying: /Expected 'idle' only first, got idle, connected, idle, disconnected, connected/,
    change: losing(async (queue) => {
      for (const status of ['idle', 'disconnected', 'connected'] as const) queue.status.next(status);
    }),
  },
]);
