export const onNats = { table: 'nats', server: 'nats' };
