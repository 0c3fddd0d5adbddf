/** What the client calls the things that it makes in the kernel. They are its own: whatever bears these names it may remove. */

/** The interface of the only hop, or with two of the exit. */
export const TUNNEL_INTERFACE = 'sallyport';
/** With two hops: the interface of the entry. Fifteen characters, the most that the kernel takes. */
export const ENTRY_INTERFACE = 'sallyport-entry';

/** The nftables table, of the family `inet`. */
export const FIREWALL_TABLE = 'sallyport_client';

/** The routing tables: into the tunnel, and into the entry's tunnel. */
export const TUNNEL_ROUTE_TABLE = 51_921;
export const ENTRY_ROUTE_TABLE = 51_922;

/** Marks tunnel datagrams and the daemon's own connections: they leave by the table `main`, never by a tunnel. */
export const OUTSIDE_MARK = 0x5a11;
/** Marks the exit tunnel's datagrams where there is an entry: they leave by {@link ENTRY_INTERFACE}. */
export const INNER_MARK = 0x5a12;
/** Marks what programs send that go beside the tunnel. */
export const SPLIT_MARK = 0x5a13;

/** Marks connections from the tunnel into the networks behind this machine; of connections alone, never of packets. */
export const CONNECTOR_MARK = 0x5a14;

/** The priorities of the rules (`ip rule`), before those of the tables `main` (32766) and `default`, and Tailscale's (5210 to 5270). */
export const FIRST_RULE_PRIORITY = 5100;
export const LAST_RULE_PRIORITY = 5119;

/** The group (cgroup, version 2) of the programs that go beside the tunnel, below the root of the hierarchy. */
export const SPLIT_CGROUP = 'sallyport-outside';

/** What every path is asked to carry (RFC 8200, section 5), and what a tunnel's interface has at least. */
export const MIN_MTU = 1280;
