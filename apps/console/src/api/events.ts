/**
 * The stream of events. One tab of a browser holds it, by a lock, and tells the others: browsers open only six connections
 * to a server by HTTP/1.1, and more tabs than that would wait for ever.
 */
import type { EventData, EventName } from '@sallyport/api';
import { signal } from '@preact/signals';
import { addressOf } from './call.ts';
import { changed } from './changes.ts';
import { refreshSession } from './sign-in.ts';

/** `waiting` until the first event, and while the server is away. */
export const liveState = signal<'live' | 'waiting'>('waiting');
/** The server's software is another than it was when this page came. */
export const isOld = signal(false);
/** The newest sample of the gateways. */
export const latestSample = signal<EventData<'sample'> | undefined>(undefined);

type Message =
  | { readonly [N in EventName]: { readonly name: N; readonly data: EventData<N> } }[EventName]
  | { readonly name: 'lost' };

const names: readonly EventName[] = ['hello', 'change', 'sample', 'bye'];
let version: string | undefined;
let wasLost = false;

function take(message: Message): void {
  if (message.name === 'lost') {
    liveState.value = 'waiting';
    wasLost = true;
    return;
  }
  liveState.value = 'live';
  switch (message.name) {
    case 'hello':
      if (version !== undefined && version !== message.data.version) isOld.value = true;
      version = message.data.version;
      // What changed meanwhile was missed.
      if (wasLost) changed('everything');
      wasLost = false;
      break;
    case 'change':
      changed(message.data.kind);
      break;
    case 'sample':
      latestSample.value = message.data;
      break;
    case 'bye':
      void refreshSession();
      break;
  }
}

/** Listens for as long as the page lives. */
export function listen(): void {
  const channel = new BroadcastChannel('sallyport-events');
  channel.onmessage = ({ data }: MessageEvent<Message>) => take(data);
  const tell = (message: Message): void => {
    take(message);
    channel.postMessage(message);
  };
  void navigator.locks.request('sallyport-events', () => {
    open(tell);
    // Held until the tab is closed.
    return new Promise<never>(() => undefined);
  });
  // Who did not get the lock is live by what the other tells, from the first event on.
}

const againMs = 3000;

function open(tell: (message: Message) => void): void {
  const source = new EventSource(addressOf('streamEvents'));
  for (const name of names) {
    source.addEventListener(name, ({ data }: MessageEvent<string>) => {
      tell({ name, data: JSON.parse(data) as never });
    });
  }
  source.onerror = () => {
    tell({ name: 'lost' });
    // The browser gives up where the answer was no stream, as from a server that is just starting.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => open(tell), againMs);
  };
}
