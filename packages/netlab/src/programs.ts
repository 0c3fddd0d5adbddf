import { fileURLToPath } from 'node:url';
import type { Program } from './process.ts';

/** The WireGuard device of this checkout, called as wireguard-go is. */
export const sallyportDevice: Program = {
  command: [fileURLToPath(new URL('../../../bin/sallyport', import.meta.url)), 'wg', 'device'],
};

/** wireguard-go as the PATH has it. */
export const wireguardGo: Program = { command: ['wireguard-go'] };
