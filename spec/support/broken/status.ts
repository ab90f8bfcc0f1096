import { concat, EMPTY, map, NEVER, type Observable, of, ReplaySubject, Subject, takeWhile } from 'rxjs';
import type { QueueStatus } from 'sluice';
import { brokenQueues, type Change, type DefectiveQueue } from './managed.js';

const USED = "admin: `status$` is 'idle' before the first use and 'connected' after it";
const CLOSED = "admin: `status$` completes after 'closed', also for a subscriber that comes later";
const UNUSED = "admin: `status$` of a queue that nothing has used goes from 'idle' to 'closed'";
const LOST = "admin: `status$` is 'disconnected' after a lost connection, and 'connected' again after it";

/** Replaces `status$`. */
function replacing(change: (queue: DefectiveQueue) => Observable<QueueStatus>): Change {
  return (queue) => ({ status$: change(queue) });
}

/** Replaces `status$` by a subject. */
function through(subject: Subject<QueueStatus>): Change {
  return replacing((queue) => {
    queue.status$.subscribe(subject);
    return subject;
  });
}

/** Replaces `disconnect()`. */
function losing(disconnect: (queue: DefectiveQueue) => Promise<void>): Change {
  return (queue) => {
    Object.assign(queue, { disconnect: () => disconnect(queue) });
    return {};
  };
}

/** All queues report the status of the first one. */
let first: DefectiveQueue | undefined;

/** Managed queues with defects in `status$`. */
export const reporting = brokenQueues([
  {
    defect: 'has no `status$`, though it promises one',
    caughtBy: USED,
    saying: /Expected `status\$` of a managed queue to be an Observable/,
    change: replacing(() => undefined as unknown as Observable<QueueStatus>),
  },
  {
    defect: 'emits only changes of the status',
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
    defect: 'emits the current status twice',
    caughtBy: USED,
    saying: /Expected `status\$` to emit 'idle' at once/,
    change: replacing((queue) => concat(of<QueueStatus>('idle'), queue.status$)),
  },
  {
    defect: 'replays all statuses to a new subscriber',
    caughtBy: USED,
    saying: /Expected a new subscriber of `status\$` to get 'connected' at once/,
    change: (queue) => through(new ReplaySubject())(queue),
  },
  {
    defect: 'emits an unknown status',
    caughtBy: USED,
    saying: /`status\$` to emit 'connected', got idle, open/,
    change: replacing((queue) =>
      queue.status$.pipe(map((status) => (status === 'connected' ? ('open' as QueueStatus) : status))),
    ),
  },
  {
    defect: 'repeats a status',
    caughtBy: USED,
    saying: /Expected no status twice in a row, got idle, connected, connected/,
    change: replacing((queue) => {
      const { status } = queue;
      const { publish } = queue;
      Object.assign(queue, {
        publish: async (...message: Parameters<DefectiveQueue['publish']>) => {
          await publish.apply(queue, message);
          status.next('connected');
        },
      });
      return status;
    }),
  },
  {
    defect: 'stays idle until the first publish',
    caughtBy: "admin: `status$` becomes 'connected' when a consumer subscribes, or `stats()` is called",
    saying: /`status\$` to emit 'connected', got idle/,
    change: replacing(() => concat(of<QueueStatus>('idle'), NEVER)),
  },
  {
    defect: 'does not complete after it was closed',
    caughtBy: CLOSED,
    saying: /Waited \d+ ms for `status\$` to complete/,
    change: replacing((queue) => queue.status),
  },
  {
    defect: 'completes without a closed status',
    caughtBy: CLOSED,
    saying: /`status\$` to emit 'closed', got idle, connected/,
    change: replacing((queue) => queue.status$.pipe(takeWhile((status) => status !== 'closed'))),
  },
  {
    defect: 'emits no status to a late subscriber',
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
    defect: 'does not complete if it was never used',
    caughtBy: UNUSED,
    saying: /Waited \d+ ms for `status\$` to complete/,
    change: (queue) => ({ close: async () => (queue.status.value === 'idle' ? undefined : queue.close()) }),
  },
  {
    defect: 'connects in close() if it was never used',
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
    defect: 'emits the status of another queue',
    caughtBy: "admin: `status$` tells each backend's own state",
    saying: /\+ {3}'connected'/,
    change: replacing((queue) => {
      first ??= queue;
      return first.status$;
    }),
  },
  {
    defect: 'does not report a lost connection',
    caughtBy: LOST,
    saying: /`status\$` to emit 'disconnected', then 'connected', got idle, connected/,
    change: losing(async () => {}),
  },
  {
    defect: 'does not report a reconnect',
    caughtBy: LOST,
    saying: /`status\$` to emit 'disconnected', then 'connected', got idle, connected, disconnected/,
    change: losing(async (queue) => queue.status.next('disconnected')),
  },
  {
    defect: 'returns to idle when its connection is lost',
    caughtBy: LOST,
    saying: /Expected 'idle' only first, got idle, connected, idle, disconnected, connected/,
    change: losing(async (queue) => {
      for (const status of ['idle', 'disconnected', 'connected'] as const) queue.status.next(status);
    }),
  },
]);
