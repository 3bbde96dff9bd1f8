// The smallest correct receiver of profile alipay in Node.js (18 or newer), without dependencies.
//
//   PUBLIC_KEY=paynotify.pem APP_ID=2021000000000001 ORDERS=orders PORT=9000 node merchant.mjs
//
// PUBLIC_KEY  the file with public_key of GET /v1/merchants/{mch_id}/public-key
// APP_ID      the merchant's app_id
// ORDERS      the books: a folder with a file for each order, named by its out_trade_no, holding its amount (88.88)
//
// With Express, mount it before any body parser: what a parser made of the body cannot be verified.
import { createPublicKey, verify } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

const { PUBLIC_KEY, APP_ID, ORDERS, PORT = '9000' } = process.env;
const publicKey = createPublicKey(readFileSync(PUBLIC_KEY));
const bodyBytesMax = 64 << 10;

const server = createServer(async (req, res) => {
  let answer = 'fail';
  try {
    await handle(await bodyOf(req));
    answer = 'success';
  } catch (error) {
    console.error(`refused: ${error.message}`);
  }
  res.writeHead(200, { 'Content-Type': 'text/plain' }).end(answer); // one word, and nothing else
});
server.requestTimeout = 10_000;
server.listen(Number(PORT), '127.0.0.1', () => console.error(`listening on http://127.0.0.1:${server.address().port}`));

async function handle(raw) {
  // 1. Is it from the platform? Nothing of it is looked at before.
  const p = verified(raw);

  // 2. Is it ours, and what we sold? The signature says who wrote it, not that it is true for us.
  if (p.get('app_id') !== APP_ID) throw new Error('it is for another app_id');
  const order = p.get('out_trade_no') ?? '';
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(order)) throw new Error('out_trade_no is none of ours');
  const amount = (await readFile(join(ORDERS, order), 'utf8')).trim(); // throws when there is no such order
  if (p.get('total_amount') !== amount) throw new Error(`order ${order} has another amount`); // as text, never as float
  if (!['TRADE_SUCCESS', 'TRADE_FINISHED'].includes(p.get('trade_status'))) {
    return; // heard, and nothing to book: it may come late, and never undoes a payment
  }

  // 3. Book it once, durably, before the answer.
  await book(order, p.get('trade_no') ?? '');
}

// verified reads the fields of a form and checks their signature: sign and sign_type taken out, sorted by name,
// joined as name=value with &, RSA over SHA-256.
function verified(raw) {
  const p = new Map();
  for (const [name, value] of new URLSearchParams(raw)) {
    if (p.has(name)) throw new Error('a parameter stands twice'); // one would be verified and the other used
    p.set(name, value);
  }
  const text = [...p]
    .filter(([name]) => name !== 'sign' && name !== 'sign_type')
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
  if (!verify('RSA-SHA256', Buffer.from(text), publicKey, Buffer.from(p.get('sign') ?? '', 'base64'))) {
    throw new Error('the signature does not verify');
  }
  return p;
}

// book creates the file that says an order is paid; that can be done once only, however many notifications arrive
// at a time. In your database it is a unique key on out_trade_no, in one transaction with the rest.
async function book(order, tradeNo) {
  const paid = join(ORDERS, `${order}.paid`);
  let file;
  try {
    file = await open(paid, 'wx');
  } catch (error) {
    if (error.code === 'EEXIST') return; // a duplicate is a success
    throw error;
  }
  console.error(`booked ${order}`);
  try {
    await file.writeFile(tradeNo);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function bodyOf(req) {
  const chunks = [];
  let size = 0;
  for await (const chunk of req) {
    if ((size += chunk.length) > bodyBytesMax) throw new Error('the body is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
