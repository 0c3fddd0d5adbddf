/** Debian's openvpn logs in at our gateway: passwords, challenges, tokens, a browser. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pingSteadily } from '@sallyport/netlab';
import type { Observed } from './openvpn-gateway-child.ts';
import { base64, Management } from './openvpn-management.ts';
import { connected, INNER4, OUTER4, saying, withOpenVpnRig, type OpenVpnRig } from './openvpn-rig.ts';

function managed(rig: OpenVpnRig): { path: string; lines: string[] } {
  const path = `${rig.laboratory.file('management', '')}.sock`;
  return { path, lines: [`management ${path} unix`, 'management-query-passwords', 'auth-retry interact'] };
}

test('user name and password; with the token that it is given, new keys ask nobody', () =>
  withOpenVpnRig(async (rig) => {
    const { service, laboratory } = rig;
    const device = await service.device('password');
    const gateway = await rig.startGateway({ devices: [device.plan], logins: { alice: { password: 'right' } } });
    const file = laboratory.file('login', 'alice\nwrong\n');
    const refused = await rig.startClient(service.profile(device, OUTER4, [`auth-user-pass ${file}`]));
    await saying(refused, /AUTH_FAILED,user name or password is wrong/);
    await refused.exited;
    const good = laboratory.file('login', 'alice\nright\n');
    const client = await rig.startClient(
      service.profile(device, OUTER4, [`auth-user-pass ${good}`, 'auth-nocache', 'reneg-sec 3']),
    );
    await connected(client);
    assert.equal((await pingSteadily(rig.client, INNER4, { count: 3 })).received, 3);
    const { asked } = await gateway.ask<Observed>({ kind: 'observe' });
    await saying(client, 'TLS: soft reset', 2);
    await sleep(1000);
    assert.equal((await pingSteadily(rig.client, INNER4, { count: 3 })).received, 3);
    assert.equal((await gateway.ask<Observed>({ kind: 'observe' })).asked, asked);
    // Cut off for the time being: the token is no way back in.
    await gateway.ask({ kind: 'apply', remove: [device.plan] });
    await saying(client, /AUTH_FAILED,SESSION:/);
  }));

test('static challenge', () =>
  withOpenVpnRig(async (rig) => {
    const { service } = rig;
    const device = await service.device('password');
    await rig.startGateway({ devices: [device.plan], logins: { alice: { password: 'right', code: '123456' } } });
    const { path, lines } = managed(rig);
    const client = await rig.startClient(service.profile(device, OUTER4, [...lines, 'static-challenge "The code" 1']));
    const management = await Management.open(path);
    for (const code of ['654321', '123456']) {
      await management.hear(/>PASSWORD:Need 'Auth' username\/password SC:1,The code/);
      management.say('username "Auth" alice');
      management.say(`password "Auth" "SCRV1:${base64('right')}:${base64(code)}"`);
    }
    await connected(client);
    assert.equal((await pingSteadily(rig.client, INNER4, { count: 3 })).received, 3);
    management.close();
  }));

test('dynamic challenge', () =>
  withOpenVpnRig(async (rig) => {
    const { service } = rig;
    const device = await service.device('password');
    await rig.startGateway({ devices: [device.plan], logins: { alice: { password: 'right', code: '123456' } } });
    const { path, lines } = managed(rig);
    const client = await rig.startClient(service.profile(device, OUTER4, lines));
    const management = await Management.open(path);
    await management.hear(/>PASSWORD:Need 'Auth' username\/password/);
    management.say('username "Auth" alice');
    management.say('password "Auth" "right"');
    const [, flags, state, user, text] = await management.hear(
      />PASSWORD:Verification Failed: 'Auth' \['CRV1:([^:]*):([^:]*):([^:]*):([^']*)'\]/,
    );
    assert.equal(text, 'Code');
    assert.match(flags, /R/);
    assert.equal(Buffer.from(user, 'base64').toString(), 'alice');
    await management.hear(/>PASSWORD:Need 'Auth' username\/password/);
    management.say('username "Auth" alice');
    management.say(`password "Auth" "CRV1::${state}::123456"`);
    await connected(client);
    assert.equal((await pingSteadily(rig.client, INNER4, { count: 3 })).received, 3);
    management.close();
  }));

test('a browser: the client is told where, waits, and is let in', () =>
  withOpenVpnRig(async (rig) => {
    const { service } = rig;
    const web = 'https://vpn.example.org/tunnel-login?code=BCDF-GHJK';
    const device = await service.device('web', { withCertificate: true });
    const gateway = await rig.startGateway({ devices: [device.plan], web });
    const mute = await rig.startClient(service.profile(device, OUTER4));
    await saying(mute, /AUTH_FAILED,this device logs in by a browser/);
    await mute.exited;
    const { path, lines } = managed(rig);
    const client = await rig.startClient(
      service.profile(device, OUTER4, [
        ...lines,
        'management-hold',
        'setenv IV_SSO webauth',
        'push-peer-info',
        'reneg-sec 5',
      ]),
    );
    const management = await Management.open(path);
    // It tells nobody twice.
    await management.hear(/>HOLD:/);
    management.say('hold release');
    const [, url] = await management.hear(/>INFOMSG:WEB_AUTH::(\S+)/);
    assert.equal(url, web);
    await sleep(1000);
    assert.ok(!client.stdout.includes('Initialization Sequence Completed'));
    await gateway.ask({ kind: 'approve' });
    await connected(client);
    assert.equal((await pingSteadily(rig.client, INNER4, { count: 3 })).received, 3);
    await saying(client, 'TLS: soft reset');
    await sleep(1500);
    assert.equal((await pingSteadily(rig.client, INNER4, { count: 3 })).received, 3);
    management.close();
  }));
