'use strict';
// Merchants that verify with Node SDKs, one a path. What a merchant knows (the 201 answer of the API: keys,
// secret, serial) comes base64-encoded in the header x-interop-merchant; all else is the notification as it
// was received. The first line on stdout names the address. Start reading at merchants.

const http = require('node:http');
const querystring = require('node:querystring');
const { AlipaySdk } = require('alipay-sdk');
const StandardWebhooks = require('standardwebhooks');
const Stripe = require('stripe');
const Svix = require('svix');
const Tenpay = require('tenpay');
const { Aes, Formatter, Hash, Rsa, Transformer } = require('wechatpay-axios-plugin');
const WxPay = require('wechatpay-node-v3');

const must = (ok, why) => { if (!ok) throw new Error(why); };
const success = { status: 200, body: 'success' };
const noContent = { status: 204, body: '' };
const xmlSuccess = { status: 200, body: '<xml><return_code><![CDATA[SUCCESS]]></return_code></xml>' };

// merchants are the handlers by path: they return the reply, or throw.
const merchants = {
  // Express' urlencoded parser gives a plain object like this one.
  'alipay-v1': ({ m, text }) => {
    must(alipay(m).checkNotifySign({ ...querystring.parse(text) }), 'checkNotifySign');
    return success;
  },
  'alipay-v2': ({ m, text }) => {
    must(alipay(m).checkNotifySignV2({ ...querystring.parse(text) }), 'checkNotifySignV2');
    return success;
  },
  'tenpay': ({ m, text }) => tenpay(m, text, 'pay'),
  'tenpay-refund': ({ m, text }) => tenpay(m, text, 'refund'),
  'axios-v2': ({ m, text }) => {
    const data = Transformer.toObject(text);
    const type = data.sign_type === Hash.ALGO_HMAC_SHA256 ? Hash.ALGO_HMAC_SHA256 : Hash.ALGO_MD5;
    must(Hash.equals(Hash.sign(type, data, m.secret), data.sign), 'sign');
    return xmlSuccess;
  },
  'axios-v2-refund': ({ m, text }) => {
    const { req_info: info } = Transformer.toObject(text);
    const refund = Transformer.toObject(Aes.AesEcb.decrypt(info, Hash.md5(m.secret)));
    must(refund.out_trade_no, 'out_trade_no');
    return xmlSuccess;
  },
  'axios-v3': ({ m, text, headers }) => {
    must(Math.abs(Formatter.timestamp() - Number(headers['wechatpay-timestamp'])) <= 300, 'timestamp');
    must(headers['wechatpay-serial'] === m.serial, 'serial');
    const signed = Formatter.response(headers['wechatpay-timestamp'], headers['wechatpay-nonce'], text);
    must(Rsa.verify(signed, headers['wechatpay-signature'], Rsa.from(m.public_key, Rsa.KEY_TYPE_PUBLIC)), 'sign');
    const { ciphertext, nonce, associated_data: aad } = JSON.parse(text).resource;
    must(JSON.parse(Aes.AesGcm.decrypt(ciphertext, m.secret, nonce, aad)).out_trade_no, 'out_trade_no');
    return noContent;
  },
  // The body goes in as Express parsed it, so that the SDK writes it again before it verifies.
  'node-v3': async ({ m, text, headers }) => {
    const pay = new WxPay({
      appid: 'wx0000000000000001', mchid: '1230000109', serial_no: '0', key: m.secret,
      publicKey: Buffer.from(m.certificate), privateKey: Buffer.from(''),
    });
    const serial = headers['wechatpay-serial'];
    must(serial === m.serial, 'serial'); // for an unknown one the SDK asks Tencent
    WxPay.certificates = { [serial]: m.public_key };
    const body = JSON.parse(text);
    must(await pay.verifySign({
      body, serial, signature: headers['wechatpay-signature'],
      timestamp: headers['wechatpay-timestamp'], nonce: headers['wechatpay-nonce'],
    }), 'verifySign');
    const { ciphertext, nonce, associated_data: aad } = body.resource;
    must(pay.decipher_gcm(ciphertext, aad, nonce).out_trade_no, 'out_trade_no');
    return noContent;
  },
  'standardwebhooks': ({ m, text, headers }) => {
    new StandardWebhooks.Webhook(m.secret).verify(text, headers);
    return noContent;
  },
  'svix': ({ m, text, headers }) => {
    new Svix.Webhook(m.secret).verify(text, headers);
    return noContent;
  },
  // The careless ones: the framework parsed the body, and they write it again to verify it.
  'svix-rewritten': ({ m, text, headers }) => {
    new Svix.Webhook(m.secret).verify(JSON.stringify(JSON.parse(text)), headers);
    return noContent;
  },
  'stripe-rewritten': ({ m, text, headers }) => {
    const body = JSON.stringify(JSON.parse(text));
    new Stripe('sk_test_0').webhooks.constructEvent(body, headers['stripe-signature'], m.secret);
    return noContent;
  },
  'stripe': ({ m, body, headers }) => {
    new Stripe('sk_test_0').webhooks.constructEvent(body, headers['stripe-signature'], m.secret);
    return noContent;
  },
};

function alipay(m) {
  return new AlipaySdk({ appId: '2021000000000001', privateKey: 'unused', alipayPublicKey: m.public_key_base64 });
}

// tenpay runs the SDK's Express middleware, which also writes the replies.
async function tenpay(m, text, type) {
  const sdk = new Tenpay({ appid: 'wx0000000000000001', mchid: '1230000109', partnerKey: m.secret });
  const reply = { status: 200, body: '' };
  const res = { header() {}, send(answer) { reply.body = answer; } };
  await sdk.middlewareForExpress(type)({ body: text }, res, () => res.reply());
  return reply;
}

const server = http.createServer((req, res) => {
  const chunks = [];
  req.on('data', (chunk) => chunks.push(chunk));
  req.on('end', async () => {
    let reply;
    try {
      const { 'x-interop-merchant': known, ...headers } = req.headers;
      const m = JSON.parse(Buffer.from(known, 'base64').toString());
      const body = Buffer.concat(chunks);
      const merchant = merchants[req.url.slice(1).split('?')[0]];
      reply = await merchant({ m, body, text: body.toString(), headers });
    } catch (err) {
      reply = { status: 400, body: `fail: ${err.message}` };
    }
    res.writeHead(reply.status).end(reply.body);
  });
});
server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
// The parent holds our stdin: when it is gone, so are we.
process.stdin.resume().on('end', () => process.exit(0));
