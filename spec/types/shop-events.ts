export interface Order {
  readonly id: number;
}

export interface Cancellation {
  readonly id: number;
  readonly reason: string;
}

/** Events as an interface of interfaces. */
export interface ShopEvents {
  'orders.created': Order;
  'orders.cancelled': Cancellation;
}
