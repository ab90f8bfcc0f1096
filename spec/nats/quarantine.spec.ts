import { headers as createHeaders } from '@nats-io/transport-node';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { describeWithNats } from '../support/servers/describe-with.js';
import { expectToldOf, GOOD, giveUpAll, statusesOf, UNDELIVERABLE } from '../support/undeliverable.js';

const HEADERS = 'Sluice-Headers';

describeWithNats('A message that the dead letter queue of a NatsBackend refuses', () => {
  const suite = new NatsSuite();

  it('is quarantined unchanged, and does not delay others', async () => {
    const logger = recordingLogger();
    const queue = suite.open({ logger });
    await queue.stats();
    const subject = `${suite.names.stream}.k`;
    const all = [...UNDELIVERABLE, ...UNDELIVERABLE];
    for (const { payload, headers } of all) {
      const facts = createHeaders();
      if (headers !== undefined) facts.set(HEADERS, headers);
      await suite.add(subject, payload, { headers: facts });
    }
    await queue.publish(GOOD, {});
    const deadLetters = suite.open({ name: `${suite.name}-dead` });
    const { outcomes, logger: told } = await giveUpAll(queue, deadLetters);
    expect(statusesOf(outcomes)).toEqual({ good: ['acked'], others: all.map(() => 'rejected') });
    expectToldOf(outcomes, told);
    expect(await deadLetters.stats()).toEqual({ ready: 0, unfinished: 0 });
    const kept = await suite.stored(suite.names.quarantine);
    const contents = kept.map(({ subject, data, header }) =>
      [subject, Buffer.from(data).toString(), header.get(HEADERS)].join(' '),
    );
    const expected = all.map(({ payload, headers = '' }) =>
      [`${suite.names.quarantine}.${subject}`, payload, headers].join(' '),
    );
    expect(contents.toSorted()).toEqual(expected.toSorted());
    for (const { reason } of await suite.quarantined())
      expect(reason).toMatch(
        /cannot be dead-lettered \(InvalidMessageError: .*\) after its handler failed \(Error: boom\)/,
      );
    expect(
      logger.errors.filter((error) => error.includes(subject) && error.includes(suite.names.quarantine)),
    ).toHaveLength(all.length);
    await eventually(async () => (await suite.length()) === 0);
  });

  it('is dead-lettered without its failure if it leaves no room for that', async () => {
    const queue = suite.open();
    await queue.stats();
    const { max_payload: most = 0 } = (await suite.connection()).info ?? {};
    // The id of a message is shorter than this, and the headers of a dead letter are longer.
    const payload = { text: 'x'.repeat(most - 80) };
    await queue.publish('k', payload);
    const deadLetters = suite.open({ name: `${suite.name}-dead` });
    const { outcomes } = await giveUpAll(queue, deadLetters);
    expect(outcomes.map(({ status }) => status)).toEqual(['dead-lettered']);
    const holder = new Holder(deadLetters);
    await eventually(() => holder.deliveries.length === 1);
    expect(holder.deliveries[0]).toMatchObject({ key: 'k', headers: {} });
    expect(holder.deliveries[0]?.payload).toEqual(payload);
  });

  it('is quarantined with its headers if it leaves no room for an id', async () => {
    const queue = suite.open();
    await queue.stats();
    const { max_payload: most = 0 } = (await suite.connection()).info ?? {};
    const facts = createHeaders();
    facts.set('Other', 'kept');
    const data = JSON.stringify({ text: 'x'.repeat(most - 50) });
    await suite.add(`${suite.names.stream}.k`, data, { headers: facts });
    const { outcomes, logger } = await giveUpAll(queue, suite.open({ name: `${suite.name}-dead` }));
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected']);
    expectToldOf(outcomes, logger);
    const [reason, kept] = await suite.stored(suite.names.quarantine);
    expect(reason?.header.get('Sluice-Reason')).toContain('cannot be dead-lettered');
    expect([Buffer.from(kept?.data ?? []).toString() === data, kept?.header.get('Other')]).toEqual([true, 'kept']);
  });

  it('is quarantined once if its lease expires meanwhile', async () => {
    const lease = 500;
    const client = await suite.client();
    const publish = client.publish.bind(client);
    let begun = 0;
    let sent = 0;
    client.publish = (subject, ...content) => {
      const isCopy = subject.startsWith(`${suite.names.quarantine}.`);
      const send = () => {
        publish(subject, ...content);
        if (isCopy) sent += 1;
      };
      if (isCopy && begun++ === 0) setTimeout(send, 1.5 * lease);
      else send();
    };
    const queue = suite.open({ client, lease });
    void new Holder(queue);
    await queue.stats();
    await suite.add(`${suite.names.stream}.k`, 'odd');
    await eventually(async () => sent > 1 && (await queue.stats()).unfinished === 0);
    await client.flush();
    expect((await suite.quarantined()).map(({ data }) => data)).toEqual(['odd']);
  });
});
