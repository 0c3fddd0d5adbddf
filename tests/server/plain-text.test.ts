import assert from 'node:assert/strict';
import { test } from 'node:test';
import { controlMessage } from '../../apps/server/src/control-configuration.ts';

test('what the control plane says holds no command to a terminal', () => {
  const message = controlMessage.parse({
    kind: 'failed',
    message: 'disk full\u001b[2J\u001b]0;root\u0007\r\nöffne \u009b31m\u202e',
  });
  assert.deepEqual(message, { kind: 'failed', message: 'disk full?[2J?]0;root??\nöffne ?31m?' });
});
