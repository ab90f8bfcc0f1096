/**
 * Returns a function that collects what is published in one turn of the event loop. `send` receives
 * the collected items. The promise of each item settles with it.
 */
export function inOneTurn(send) {
  let items = [];
  let sent;
  return (item) => {
    if (items.push(item) === 1) {
      sent = new Promise((resolve, reject) => {
        setImmediate(() => {
          const all = items;
          items = [];
          send(all).then(resolve, reject);
        });
      });
    }
    return sent;
  };
}
