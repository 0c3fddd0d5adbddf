import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { DropReason } from '../../packages/core/src/drop-reason.ts';
import {
  decodeCrv1,
  decodeCrv1Response,
  decodeScrv1,
  encodeCrv1,
  encodeCrv1Response,
  encodeScrv1,
} from '../../packages/openvpn/src/wire/challenge.ts';
import {
  authFailed,
  authPending,
  ControlTextReader,
  encodeText,
  halt,
  info,
  infoPre,
  MAX_TEXT_BYTES,
  parseControlMessage,
  restart,
  type AuthFailure,
} from '../../packages/openvpn/src/wire/control-message.ts';
import { optionOf, optionsString } from '../../packages/openvpn/src/wire/options-string.ts';
import {
  formatPeerInfo,
  ivProto,
  IvProto,
  parsePeerInfo,
  supportedCiphers,
} from '../../packages/openvpn/src/wire/peer-info.ts';
import { isPushable, pushReply, PushReplyReader } from '../../packages/openvpn/src/wire/push-reply.ts';
import {
  base64Decode,
  base64Encode,
  utf8Decode,
  utf8Encode,
  utf8Length,
} from '../../packages/openvpn/src/wire/text.ts';

describe('texts inside TLS', () => {
  test('come whole, however they are cut', () => {
    const texts = ['PUSH_REQUEST', '', 'INFO,ä€😀', 'x'.repeat(3000)];
    const stream = Buffer.concat(texts.map(encodeText));
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1 }), (cuts) => {
        const reader = new ControlTextReader();
        const read: string[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          const next = at + cuts[i % cuts.length];
          const some = reader.push(Uint8Array.from(stream.subarray(at, next)));
          assert.ok(typeof some !== 'number');
          read.push(...some);
          at = next;
        }
        assert.deepEqual(read, texts);
      }),
    );
  });

  test('are printable, or nothing', () => {
    const reader = new ControlTextReader();
    const stream = Buffer.from('RESTART\r\n\0a\x1b[2J\0\x80\0EXIT\0', 'latin1');
    assert.deepEqual(reader.push(Uint8Array.from(stream)), ['RESTART', '', '', 'EXIT']);
  });

  test('are bounded', () => {
    assert.equal(new ControlTextReader().push(new Uint8Array(16_385).fill(65)), DropReason.malformedPacket);
    const reader = new ControlTextReader();
    assert.deepEqual(reader.push(new Uint8Array(16_000).fill(65)), []);
    assert.equal(reader.push(new Uint8Array(1000).fill(65)), DropReason.malformedPacket);
  });
});

describe('control messages', () => {
  test('by hand', () => {
    const messages: [string, unknown][] = [
      ['PUSH_REQUEST', { kind: 'pushRequest' }],
      ['PUSH_REPLY', { kind: 'pushReply', options: [] }],
      ['PUSH_REPLY,topology subnet,,peer-id 0', { kind: 'pushReply', options: ['topology subnet', 'peer-id 0'] }],
      ['AUTH_PENDING', { kind: 'authPending', timeoutSeconds: undefined }],
      ['AUTH_PENDING,other,timeout 240', { kind: 'authPending', timeoutSeconds: 240 }],
      ['AUTH_PENDING,timeout -1', { kind: 'authPending', timeoutSeconds: undefined }],
      ['INFO_PRE,WEB_AUTH::https://vpn.example/?a=1,2', { kind: 'infoPre', text: 'WEB_AUTH::https://vpn.example/?a=1,2' }], // prettier-ignore
      ['INFO,hello', { kind: 'info', text: 'hello' }],
      ['RESTART', { kind: 'restart', keepPassword: false, advance: false, text: '' }],
      ['RESTART,[P]', { kind: 'restart', keepPassword: true, advance: false, text: '' }],
      ['RESTART,[NP]full', { kind: 'restart', keepPassword: true, advance: true, text: 'full' }],
      ['RESTART,[P]:moved', { kind: 'restart', keepPassword: true, advance: false, text: 'moved' }],
      ['RESTART,soon', { kind: 'restart', keepPassword: false, advance: false, text: 'soon' }],
      ['HALT,gone', { kind: 'halt', keepPassword: false, advance: false, text: 'gone' }],
      ['EXIT', { kind: 'exit' }],
      ['CR_RESPONSE,MTIz', { kind: 'crResponse', response: 'MTIz' }],
      ['PUSH_UPDATE,x', { kind: 'unknown' }],
      ['exit', { kind: 'unknown' }],
      ['', { kind: 'unknown' }],
    ];
    for (const [text, message] of messages) assert.deepEqual(parseControlMessage(text), message, text);
  });

  test('failures by hand', () => {
    const failures: [string, AuthFailure][] = [
      ['AUTH_FAILED', { kind: 'plain', text: '' }],
      ['AUTH_FAILED,no, never', { kind: 'plain', text: 'no, never' }],
      ['AUTH_FAILED,SESSION: token expired', { kind: 'sessionEnded', text: ' token expired' }],
      ['AUTH_FAILED,TEMP', { kind: 'temporary', backoffSeconds: undefined, advance: 'no', text: '' }],
      ['AUTH_FAILED,TEMP:later', { kind: 'temporary', backoffSeconds: undefined, advance: 'no', text: 'later' }],
      ['AUTH_FAILED,TEMP[backoff 42,advance addr]:busy', { kind: 'temporary', backoffSeconds: 42, advance: 'addr', text: 'busy' }], // prettier-ignore
      ['AUTH_FAILED,TEMP[advance other,backoff x]', { kind: 'temporary', backoffSeconds: undefined, advance: 'no', text: '' }], // prettier-ignore
      ['AUTH_FAILED,CRV1:R,E:Om01u7Fh4LrGBS7uh0SWmzwabUiGiW6l:Y3Ix:Please enter token PIN', { kind: 'challenge', challenge: { state: 'Om01u7Fh4LrGBS7uh0SWmzwabUiGiW6l', userName: 'cr1', text: 'Please enter token PIN', echo: true, responseRequired: true } }], // prettier-ignore
      ['AUTH_FAILED,CRV1:broken', { kind: 'plain', text: 'CRV1:broken' }],
    ];
    for (const [text, failure] of failures)
      assert.deepEqual(parseControlMessage(text), { kind: 'authFailed', failure }, text);
  });

  test('what we say is understood', () => {
    const failures: AuthFailure[] = [
      { kind: 'plain', text: '' },
      { kind: 'plain', text: 'Your account is disabled: ask Bob' },
      { kind: 'challenge', challenge: { state: 's', userName: 'zoë', text: 'Code: of the app', echo: false, responseRequired: true } }, // prettier-ignore
      { kind: 'temporary', backoffSeconds: 30, advance: 'remote', text: 'busy' },
      { kind: 'temporary', backoffSeconds: undefined, advance: 'no', text: '' },
      { kind: 'sessionEnded', text: 'log in again' },
    ];
    for (const failure of failures)
      assert.deepEqual(parseControlMessage(authFailed(failure)), { kind: 'authFailed', failure });
    assert.deepEqual(parseControlMessage(authPending(300, true)), { kind: 'authPending', timeoutSeconds: 300 });
    assert.equal(authPending(300, false), 'AUTH_PENDING');
    assert.equal(restart({ advance: true, text: 'moved' }), 'RESTART,[PN]:moved');
    // The only form that OpenVPN 3 keeps a password for.
    assert.equal(restart({ advance: false }), 'RESTART,[P]:');
    assert.equal(halt(''), 'HALT');
    assert.equal(halt('removed'), 'HALT,removed');
    assert.equal(infoPre('OPEN_URL:https://a'), 'INFO_PRE,OPEN_URL:https://a');
  });

  test('a reason is no command, and fits', () => {
    for (const text of ['TEMP[backoff 1]:x', 'CRV1:R:a:Yg==:c', 'SESSION:x']) {
      const parsed = parseControlMessage(authFailed({ kind: 'plain', text }));
      assert.deepEqual(parsed, { kind: 'authFailed', failure: { kind: 'plain', text: ` ${text}` } });
    }
    const long = authFailed({ kind: 'plain', text: '€'.repeat(1000) });
    assert.ok(encodeText(long).length <= MAX_TEXT_BYTES && long.endsWith('€'));
    assert.equal(authFailed({ kind: 'plain', text: 'a\n\0b' }), 'AUTH_FAILED,ab');
    assert.equal(encodeText(info('x'.repeat(2000))).length, MAX_TEXT_BYTES);
    assert.equal(infoPre('x'.repeat(2000)), undefined);
    assert.equal(infoPre('a\nb'), undefined);
  });
});

describe('push replies', () => {
  test('in one text', () => {
    assert.deepEqual(pushReply([]), ['PUSH_REPLY']);
    assert.deepEqual(pushReply(['a 1', 'b']), ['PUSH_REPLY,a 1,b']);
  });

  test('in pieces, which are put together again', () => {
    const option = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }).filter((text) => isPushable(text) && !text.startsWith('push-continuation')); // prettier-ignore
    fc.assert(
      fc.property(fc.array(option, { maxLength: 200 }), (options) => {
        const texts = pushReply(options) ?? [];
        const reader = new PushReplyReader();
        for (const [i, text] of texts.entries()) {
          assert.ok(encodeText(text).length <= MAX_TEXT_BYTES);
          const message = parseControlMessage(text);
          assert.equal(message.kind, 'pushReply');
          const read = message.kind === 'pushReply' ? reader.push(message.options) : undefined;
          assert.deepEqual(read, i < texts.length - 1 ? 'more' : options);
        }
      }),
    );
  });

  test('with what OpenVPN marks the pieces', () => {
    const [first, second] = pushReply(['a'.repeat(200), 'b'.repeat(200)], 400) ?? [];
    assert.ok(first.endsWith(',push-continuation 2') && second.endsWith(',push-continuation 1'));
  });

  test('with options that peers can read', () => {
    assert.ok(isPushable('route 10.0.0.0 255.0.0.0') && isPushable('a'.repeat(255)));
    for (const bad of ['', 'a,b', 'a\nb', 'a'.repeat(256), 'ä'.repeat(128)]) {
      assert.ok(!isPushable(bad));
      assert.equal(pushReply(['a', bad]), undefined);
    }
  });

  test('that never end are given up', () => {
    const reader = new PushReplyReader();
    let last: unknown = 'more';
    let pieces = 0;
    for (; last === 'more'; pieces++) last = reader.push([...Array<string>(10).fill('x'.repeat(90)), 'push-continuation 2']); // prettier-ignore
    assert.equal(last, DropReason.malformedPacket);
    assert.ok(pieces < 80);
  });
});

describe('challenges', () => {
  test('static', () => {
    assert.equal(encodeScrv1('bar', '8675309'), 'SCRV1:YmFy:ODY3NTMwOQ==');
    const decoded = decodeScrv1(encodeScrv1('pä:ss', ''));
    assert.ok(typeof decoded === 'object');
    assert.deepEqual([decoded.password.reveal(), decoded.response.reveal()], ['pä:ss', '']);
    assert.equal(decodeScrv1('bar'), undefined);
    for (const bad of ['SCRV1:', 'SCRV1:YmFy', 'SCRV1:YmFy:a:b', 'SCRV1:*:YmFy', 'SCRV1:gA==:YmFy'])
      assert.equal(decodeScrv1(bad), DropReason.malformedPacket, bad);
  });

  test('dynamic', () => {
    const challenge = { state: 'abc', userName: 'cr1', text: 'Code: now', echo: true, responseRequired: true };
    assert.equal(encodeCrv1(challenge), 'CRV1:R,E:abc:Y3Ix:Code: now');
    for (const echo of [true, false])
      for (const responseRequired of [true, false]) {
        const other = { ...challenge, echo, responseRequired };
        assert.deepEqual(decodeCrv1(encodeCrv1(other)), other);
      }
    assert.equal(decodeCrv1('CRV1:R:abc:*:text'), undefined);
    const answer = decodeCrv1Response(encodeCrv1Response('abc', '86::75'));
    assert.deepEqual([answer?.state, answer?.response.reveal()], ['abc', '86::75']);
    assert.equal(decodeCrv1Response('CRV1:abc'), undefined);
    assert.equal(decodeCrv1Response('password'), undefined);
  });
});

describe('what clients say of themselves', () => {
  test('peer info', () => {
    const text = 'IV_VER=2.6.14\nIV_PROTO=990\njunk\n=x\nIV_X=a=b\nIV_BAD=\x07\nIV_CIPHERS=AES-256-GCM:aes-128-gcm\r\n';
    const peerInfo = parsePeerInfo(text);
    assert.deepEqual([...peerInfo.keys()], ['IV_VER', 'IV_PROTO', 'IV_X', 'IV_CIPHERS']);
    assert.equal(peerInfo.get('IV_X'), 'a=b');
    const proto = ivProto(peerInfo);
    const has = IvProto.dataV2 | IvProto.requestPush | IvProto.tlsKeyExport | IvProto.authPendingKeyword | IvProto.exitNotify | IvProto.authFailTemp | IvProto.dynamicTlsCrypt | IvProto.dnsOption; // prettier-ignore
    assert.equal(proto, has, "OpenVPN 2.6's 990");
    assert.deepEqual(supportedCiphers(peerInfo, 'BF-CBC'), ['AES-256-GCM', 'AES-128-GCM']);
    assert.deepEqual(parsePeerInfo(formatPeerInfo(peerInfo)), peerInfo);
    assert.equal(ivProto(parsePeerInfo('IV_PROTO=-1')), 0);
    assert.equal(parsePeerInfo(Array.from({ length: 100 }, (_, i) => `A${String(i)}=1`).join('\n')).size, 64);
  });

  test('ciphers of clients before 2.5', () => {
    const two = new Map([['IV_NCP', '2']]);
    assert.deepEqual(supportedCiphers(two, 'AES-256-CBC'), ['AES-256-GCM', 'AES-128-GCM', 'AES-256-CBC']);
    assert.deepEqual(supportedCiphers(two, undefined), ['AES-256-GCM', 'AES-128-GCM']);
    assert.deepEqual(supportedCiphers(new Map(), 'aes-256-cbc'), ['AES-256-CBC']);
    assert.deepEqual(supportedCiphers(new Map(), undefined), []);
  });

  test("options strings: OpenVPN 2.6's own", () => {
    const common = { tcp: false, tunMtu: 1500, tlsAuth: false };
    assert.equal(optionsString({ ...common, server: true, cipher: undefined }), 'V4,dev-type tun,link-mtu 1541,tun-mtu 1500,proto UDPv4,auth SHA1,keysize 128,key-method 2,tls-server'); // prettier-ignore
    const client = optionsString({ ...common, server: false, cipher: 'AES-256-GCM' });
    assert.equal(client, 'V4,dev-type tun,link-mtu 1549,tun-mtu 1500,proto UDPv4,cipher AES-256-GCM,auth [null-digest],keysize 256,key-method 2,tls-client'); // prettier-ignore
    assert.equal(optionOf(client, 'cipher'), 'AES-256-GCM');
    assert.equal(optionOf(client, 'tls-client'), '');
    assert.equal(optionOf(client, 'comp-lzo'), undefined);
    assert.match(optionsString({ ...common, server: true, tcp: true, cipher: undefined }), /,proto TCPv4_SERVER,/);
  });
});

test('UTF-8 and base64 as Node has them', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.uint8Array(), (text, data) => {
      assert.deepEqual(utf8Encode(text), Uint8Array.from(Buffer.from(text)));
      assert.equal(utf8Decode(utf8Encode(text)), text);
      assert.equal(utf8Length(text), Buffer.byteLength(text));
      const base64 = Buffer.from(data).toString('base64');
      assert.equal(base64Encode(data), base64);
      assert.deepEqual(base64Decode(base64), Uint8Array.from(data));
      assert.deepEqual(base64Decode(base64.replace(/=+$/, '')), Uint8Array.from(data));
    }),
  );
  for (const bad of ['a', 'a===', '*', 'ab=', 'YWJj\n']) assert.equal(base64Decode(bad), undefined, bad);
  fc.assert(
    fc.property(fc.uint8Array({ min: 0x70 }), (data) => {
      let text: string | undefined;
      try {
        text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data);
      } catch {
        text = undefined;
      }
      assert.equal(utf8Decode(data), text);
    }),
  );
  for (const bad of [[0x80], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]])
    assert.equal(utf8Decode(Uint8Array.from(bad)), undefined);
});
