import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const MEMBER = fileURLToPath(new URL('crew-member.mjs', import.meta.url));

/** Returns milliseconds of a clock that all processes of the machine share. */
export const sharedNow = () => Number(process.hrtime.bigint()) / 1e6;

/** Processes with one consumer each, which start together. They end with this process. */
export class Crew {
  #members;
  #onReport = () => {};

  constructor(size, engine, contender, url) {
    this.#members = Array.from({ length: size }, () => {
      const member = fork(MEMBER, [engine, contender, url]);
      member.on('message', (message) => this.#onReport(message));
      member.on('exit', () => {
        throw new Error('A consumer process has ended');
      });
      return member;
    });
  }

  /** Opens a consumer in each process. Resolves when all are connected. */
  async open() {
    await this.#all('open');
  }

  /**
   * Starts the consumers. Resolves to the seconds until the last of `messages` acknowledgements.
   */
  async consume(messages) {
    let count = 0;
    let endedAt = 0;
    const done = new Promise((resolve) => {
      this.#onReport = ({ acked = 0, at }) => {
        count += acked;
        if (acked > 0) endedAt = Math.max(endedAt, at);
        if (count >= messages) resolve();
      };
    });
    const startedAt = sharedNow();
    for (const member of this.#members) member.send('go');
    await done;
    return (endedAt - startedAt) / 1000;
  }

  /** Closes the consumers. Resolves to the numbers of the messages that each one received. */
  async close() {
    return (await this.#all('close')).map(({ numbers }) => numbers);
  }

  #all(word) {
    return Promise.all(this.#members.map((member) => tell(member, word)));
  }
}

/** Sends a command to a member. Resolves to the answer when the member has completed it. */
function tell(member, word) {
  return new Promise((resolve) => {
    const listen = (message) => {
      if (message.done !== word) return;
      member.off('message', listen);
      resolve(message);
    };
    member.on('message', listen);
    member.send(word);
  });
}
