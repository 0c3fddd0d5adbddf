const LEVELS = { debug: 20, info: 30, warn: 40, error: 50 } as const;
export type LogLevel = keyof typeof LEVELS;
export type Log = (level: LogLevel, message: string) => void;

/** Lines as the other processes' logger writes them, without its weight. */
export function createLog(name: string, least: LogLevel): Log {
  return (level, message) => {
    if (LEVELS[level] < LEVELS[least]) return;
    const line = { level: LEVELS[level], time: Date.now(), name, msg: message };
    process.stderr.write(`${JSON.stringify(line)}\n`);
  };
}
