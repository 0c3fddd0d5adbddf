/** The group of processes that go beside the tunnel, as the packet filter can name it. */
import { existsSync, mkdirSync } from 'node:fs';
import { relative } from 'node:path';
import { FIREWALL_TABLE, SPLIT_CGROUP, type SplitGroup } from '@sallyport/client';
import { Cgroup, cgroupRoot, type CommandRunner, type Nft } from '@sallyport/io';

/** Where nft looks for what it is told the path of. */
const NFT_ROOT = '/sys/fs/cgroup';

export interface OutsideGroup {
  readonly cgroup: Cgroup;
  readonly group: SplitGroup;
}

/** Whether processes are in the group from before: a daemon that was started anew goes on letting them pass. */
export function outsideGroupIsUsed(): boolean {
  const root = cgroupRoot();
  if (root === undefined || !existsSync(`${root}/${SPLIT_CGROUP}`)) return false;
  return Cgroup.ensure(SPLIT_CGROUP).processes().length > 0;
}

/** Makes it again where somebody removed it: rules that name it are not taken without it, and with them no others. */
export function keepOutsideGroup(): void {
  Cgroup.ensure(SPLIT_CGROUP);
}

/**
 * Makes the group, and mounts the hierarchy at `mountPoint` where this system has it nowhere. Throws where the system has no
 * such groups, or its packet filter can't tell them.
 */
export async function openOutsideGroup(runner: CommandRunner, nft: Nft, mountPoint: string): Promise<OutsideGroup> {
  if (cgroupRoot() === undefined) {
    mkdirSync(mountPoint, { recursive: true, mode: 0o755 });
    await runner.change('mount', ['-t', 'cgroup2', 'none', mountPoint]);
  }
  const root = cgroupRoot();
  if (root === undefined) throw new Error('this system has no cgroup v2');
  const cgroup = Cgroup.ensure(SPLIT_CGROUP);
  const group = { path: relative(NFT_ROOT, `${root}/${SPLIT_CGROUP}`), level: 1 };
  // A transaction without effect: the kernel says whether it would take such a rule.
  const table = `inet ${FIREWALL_TABLE}_probe`;
  const rule = `socket cgroupv2 level ${String(group.level)} "${group.path}" accept`;
  await nft.apply(`add table ${table}\nadd chain ${table} c\nadd rule ${table} c ${rule}\ndelete table ${table}\n`);
  return { cgroup, group };
}
