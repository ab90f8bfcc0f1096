import { consumeAll } from '../../scenarios/servers/consume.mjs';

export const natsConsume = consumeAll({
  title: 'NATS: consume and ack, prefetch 64',
  text: 'All messages wait. Measured from the first request until the last acknowledgement is confirmed. The limit is a `consume` of 64 with up to 64 `ackAck` in flight. It leaves the messages in the stream. Sluice deletes them soon after, like a stream with interest retention.',
  contenders: ['sluice', 'jetstream', 'jetstream-interest', 'jetstream-ack'],
  goals: [
    { atLeast: 0.85, of: 'limit' },
    { atLeast: 0.85, of: 'jetstream-interest' },
  ],
});
