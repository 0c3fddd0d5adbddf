import { Sysctl } from '@sallyport/io';
import type { CommandRunner } from '@sallyport/io';
import type { Memory } from './remembered.ts';

const IPV4 = 'net/ipv4/conf';
const IPV6 = 'net/ipv6/conf';

/** Lets the kernel forward both families, and puts back what that changed. */
export class Forwarding {
  readonly #interfaceName: string;
  readonly #sysctl: Sysctl;
  readonly #memory: Memory;

  constructor(interfaceName: string, runner: CommandRunner, memory: Memory) {
    this.#interfaceName = interfaceName;
    this.#sysctl = new Sysctl(runner);
    this.#memory = memory;
  }

  /** Throws what the kernel said where a setting can't be changed. */
  enable(): void {
    const tunnel = this.#interfaceName;
    if (this.#sysctl.read(`${IPV4}/${tunnel}/rp_filter`) === undefined)
      throw new Error(`there is no interface ${tunnel}: it is configured before forwarding is switched on`);
    this.#keepRouterAdvertisements();
    // Writing this resets accept_redirects (ip-sysctl of the kernel), so that is remembered first.
    this.#remember(`${IPV4}/all/accept_redirects`);
    this.#set('net/ipv4/ip_forward', '1');
    if (this.#sysctl.read(`${IPV6}/all/forwarding`) !== undefined) this.#set(`${IPV6}/all/forwarding`, '1');
    // A router tells a host of a shorter way through another; devices of one tunnel have none but this machine.
    for (const place of ['all', 'default', tunnel]) this.#set(`${IPV4}/${place}/send_redirects`, '0');
    // Reverse path filters ask for the way back of a packet with its mark: the interface's rules would drop it without.
    this.#set(`${IPV4}/all/src_valid_mark`, '1');
    // The kernel's own answer to a packet bears the packet's mark, by which it finds the way to a network behind a device.
    for (const key of ['net/ipv4/fwmark_reflect', 'net/ipv6/fwmark_reflect'])
      if (this.#sysctl.read(key) !== undefined) this.#set(key, '1');
    // Strict: what comes out of the tunnel bears a tunnel address, since only the pools are routed to it.
    this.#set(`${IPV4}/${tunnel}/rp_filter`, '1');
  }

  /** Puts everything back, the last change first. */
  tearDown(): void {
    for (const { key, before } of this.#memory.value.settings.toReversed())
      // The tunnel's interface, and another one too, may be gone.
      if (this.#sysctl.read(key) !== undefined && this.#sysctl.read(key) !== before) this.#sysctl.write(key, before);
    this.#memory.value.settings = [];
  }

  /**
   * A kernel that forwards IPv6 takes no router advertisements where accept_ra is 1, and drops the default route that
   * it has from one. 2 means: even though it forwards.
   */
  #keepRouterAdvertisements(): void {
    for (const name of this.#sysctl.list(IPV6)) {
      if (['all', 'default', 'lo', this.#interfaceName].includes(name)) continue;
      const forwards = this.#sysctl.read(`${IPV6}/${name}/forwarding`) === '1';
      if (!forwards && this.#sysctl.read(`${IPV6}/${name}/accept_ra`) === '1')
        this.#set(`${IPV6}/${name}/accept_ra`, '2');
    }
  }

  #set(key: string, value: string): void {
    const before = this.#sysctl.read(key);
    if (before === value) return;
    this.#remember(key);
    this.#sysctl.write(key, value);
  }

  /** Only the first time: later values are our own. */
  #remember(key: string): void {
    const before = this.#sysctl.read(key);
    const { settings } = this.#memory.value;
    if (before === undefined || settings.some((setting) => setting.key === key)) return;
    settings.push({ key, before });
    this.#memory.save();
  }
}
