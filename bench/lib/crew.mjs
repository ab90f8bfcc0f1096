import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const MEMBER = fileURLToPath(new URL('crew-member.mjs', import.meta.url));

/** Milliseconds of a clock that all processes of a machine share. */
export const sharedNow = () => Number(process.hrtime.bigint()) / 1e6;

/** Some processes with a consumer each, which begin together. They end with this process. */
export class Crew {
  #members;
  #onReport = () => {};

  constructor(size, contender, url) {
    this.#members = Array.from({ length: size }, () => {
      const member = fork(MEMBER, [contender, url]);
      member.on('message', (message) => this.#onReport(message));
      member.on('exit', () => {
        throw new Error('A consumer process has ended');
      });
      return member;
    });
  }

  /** Each opens a consumer; resolves when all are connected. */
  async open() {
    await this.#all('open');
  }

  /** Resolves to the seconds from the word to go until the last of `messages` acknowledgements. */
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

  /** Each closes its consumer; resolves to the numbers of the messages that each has got. */
  async close() {
    return (await this.#all('close')).map(({ numbers }) => numbers);
  }

  #all(word) {
    return Promise.all(this.#members.map((member) => tell(member, word)));
  }
}

/** Resolves to what a member answers when it has done what it was told. */
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
