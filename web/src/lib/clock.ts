// clock.ts - what time it is by the clock of the server, whose samples the page shows. The clock of the
// browser may differ.

/** Smaller differences do not matter. */
const seenMs = 10_000

let aheadMs = 0

/** Compares the clocks: the server answered a request at some time, in whole seconds, since it was sent. */
export function compareClocks(response: Response, sentMs: number): void {
  const server = Date.parse(response.headers.get('Date') ?? '')
  if (Number.isNaN(server)) return
  const [least, most] = [server - Date.now(), server + 1000 - sentMs]
  aheadMs = least > seenMs ? least : most < -seenMs ? most : 0
}

/** How many seconds the clock of the server is ahead of that of the browser; 0: they agree. */
export function serverAhead(): number {
  return aheadMs / 1000
}

/** Returns the time in milliseconds since 1970. */
export function serverNowMs(): number {
  return Date.now() + aheadMs
}

/** Returns the time in seconds since 1970. */
export function serverNow(): number {
  return serverNowMs() / 1000
}
