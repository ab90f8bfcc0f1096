import { consumeAll } from '../../scenarios/servers/consume.mjs';

export const natsConsume = consumeAll({
  title: 'NATS: consume and ack, prefetch 64',
  text: 'All messages wait; from the first request until the last acknowledgement is confirmed. The limit is a `consume` of 64 with up to 64 `ackAck` on their way, and leaves the messages in the stream. Sluice removes them soon after, as does a stream with interest retention.',
  contenders: ['sluice', 'jetstream', 'jetstream-interest', 'jetstream-ack'],
  goals: [
    { atLeast: 0.85, of: 'limit' },
    { atLeast: 0.85, of: 'jetstream-interest' },
  ],
});
