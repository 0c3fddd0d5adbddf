/**
 * The stream of events. One tab of a browser holds it, by a lock, and tells the others: browsers open only six connections
 * to a server by HTTP/1.1, and more tabs than that would wait for ever.
 */
import type { EventData, EventName } from '@sallyport/api';
import { signal } from '@preact/signals';
import { addressOf } from './call.ts';
import { changed, hear } from './changes.ts';
import { refreshSession } from './sign-in.ts';

/** `waiting` until the first event, and while the server is away. */
export const liveState = signal<'live' | 'waiting'>('waiting');
/** The server's software is another than it was when this page came. */
export const isOld = signal(false);
/** The newest sample of the gateways. */
export const latestSample = signal<EventData<'sample'> | undefined>(undefined);

type Message =
  | { readonly [N in EventName]: { readonly name: N; readonly data: EventData<N> } }[EventName]
  | { readonly name: 'lost' }
  /** A tab has come that wants to know whether there is a stream. */
  | { readonly name: 'asked' };

const names: readonly EventName[] = ['hello', 'change', 'sample', 'bye'];
let version: string | undefined;
let wasLost = false;
/** This tab holds the stream. */
let holds = false;

function take(message: Message): void {
  if (message.name === 'asked') return;
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
      hear(message.data.kind);
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
  const tell = (message: Message): void => {
    take(message);
    channel.postMessage(message);
  };
  channel.onmessage = ({ data }: MessageEvent<Message>) => {
    take(data);
    if (data.name === 'asked' && holds && liveState.value === 'live' && version !== undefined) {
      channel.postMessage({ name: 'hello', data: { version } } satisfies Message);
    }
  };
  const hold = (): Promise<never> => {
    holds = true;
    open(tell);
    // Until the tab is closed.
    return new Promise<never>(() => undefined);
  };
  void navigator.locks.request('sallyport-events', { ifAvailable: true }, (lock) => {
    if (lock !== null) return hold();
    channel.postMessage({ name: 'asked' } satisfies Message);
    void navigator.locks.request('sallyport-events', () => {
      // What changed since the tab that held it is gone was missed.
      tell({ name: 'lost' });
      return hold();
    });
    return undefined;
  });
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
