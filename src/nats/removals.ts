import { setTimeout as sleep } from 'node:timers/promises';
import { isForbidden } from './failures.js';
import type { NatsLink } from './link.js';
import { isGroup } from './topology.js';

/** How long a process may take to remove what every group has settled, in milliseconds. After that, it counts as dead. */
const PATIENCE = 400;

/** How long to wait between two looks, in milliseconds. */
const PAUSE = 20;

/**
 * Waits until other processes have removed what every group has settled, as far as all before it is settled. A group that is created now starts with what the stream
 * holds. It must not remove such messages itself: if the group existed before and was deleted, it has not settled them.
 */
export async function awaitRemovals({ manager }: NatsLink, stream: string): Promise<void> {
  const end = performance.now() + PATIENCE;
  for (;;) {
    const { state } = await manager.streams.info(stream);
    if (state.messages === 0) return;
    const floors = await manager.consumers.list(stream).then(
      (listed) => listed.filter(({ config }) => isGroup(config)).map(({ ack_floor }) => ack_floor.stream_seq),
      (error: unknown) => {
        if (isForbidden(error)) return [];
        throw error;
      },
    );
    if (floors.length === 0 || Math.min(...floors) < state.first_seq || performance.now() > end) return;
    await sleep(PAUSE);
  }
}
