/** The privileged process alone: its stream is file descriptor 3, its bounds and where it keeps its state are arguments. */
import { inheritedStream, servePrivileged } from '@sallyport/privileged';

const [interfaceName = '', statePath = '', networksUid = '', ...pools] = process.argv.slice(2);
const tell = (message: object): void => {
  process.stdout.write(`${JSON.stringify(message)}\n`);
};
await servePrivileged({
  stream: inheritedStream(3),
  interfaceName,
  pools,
  networksUid: Number(networksUid),
  statePath,
  onNotice: (notice) => tell({ notice, at: Date.now() }),
  onCommand: (command) => tell({ command }),
});
tell({ ended: true });
