export const onRabbitMq = { table: 'rabbitmq', server: 'rabbitmq' };
