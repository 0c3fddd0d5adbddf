/** What a worker of the data plane needs of OpenVPN: the packet half and its tables, without sessions and profiles. */
export * from './data/packet-half.ts';
export * from './data/tables.ts';
