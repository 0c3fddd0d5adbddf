import { readFile, rm } from 'node:fs/promises';
import { report } from '@sallyport/link';
import { replaceFile } from './durable-file.ts';
import type { NumberedReport } from './reporter.ts';

/** What one run of a gateway leaves to the next: reports that the control plane has not stored. */
export interface LeftReports {
  /** The gateway's id, at the control plane that they are for. */
  readonly gatewayId: string;
  /** The last number that was given out. */
  readonly number: number;
  readonly reports: readonly NumberedReport[];
}

const reportsSchema = report.pick({ number: true, devices: true }).required().array();

/** Writes them to `path`, for its owner alone. Throws the file system's errors. */
export async function leaveReports(path: string, left: LeftReports): Promise<void> {
  await replaceFile(path, `${JSON.stringify(left)}\n`);
}

/**
 * Takes them from `path`, where they are no more then: they count once, even if this run breaks off. Undefined where there
 * are none for this gateway, or none that can be read. Throws the file system's errors.
 */
export async function takeReports(path: string, gatewayId: string): Promise<LeftReports | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  await rm(path);
  try {
    const left = JSON.parse(text) as Record<string, unknown>;
    const { success, data } = reportsSchema.safeParse(left['reports']);
    const { number } = left;
    if (!success || left['gatewayId'] !== gatewayId || !Number.isSafeInteger(number)) return undefined;
    return { gatewayId, number: number as number, reports: data };
  } catch {
    return undefined;
  }
}
