"""The smallest correct receiver of profile standard (Standard Webhooks, v1) in Python, standard library alone.

    SECRET=paynotify.secret ORDERS=orders PORT=9000 python3 merchant.py

SECRET  the file with the secret (whsec_…) that creating the merchant or rotate-key answered
ORDERS  the books: a folder with a file for each order, named by its out_trade_no, holding its amount in cents (8888)

The secret is this merchant's alone, so who can sign with it means us. Python's standard library has no RSA: for
profile alipay take a package that has (cryptography, pycryptodome), and do the rest as here.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BODY_BYTES_MAX = 64 << 10
CLOCK_SECONDS_MAX = 300  # older ones are replays, newer ones from a wrong clock

ORDERS = Path(os.environ["ORDERS"])
KEY = base64.b64decode(Path(os.environ["SECRET"]).read_text().strip().removeprefix("whsec_"))


class Refused(Exception):
    """Why a notification is not acknowledged."""


class Merchant(BaseHTTPRequestHandler):
    timeout = 10  # seconds, for one who sends slowly

    def do_POST(self):
        try:
            handle(self.headers, self.body())
            status = 204
        except Exception as why:  # whatever it is: no acknowledgement, so it comes again
            print(f"refused: {why}", file=sys.stderr, flush=True)
            status = 400
        self.send_response(status)  # the status is the whole answer
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def body(self):
        size = int(self.headers.get("Content-Length", "0"))
        if not 0 <= size <= BODY_BYTES_MAX:
            raise Refused("the body is too long")
        return self.rfile.read(size)

    def log_message(self, *_):
        pass


def handle(headers, raw):
    # 1. Is it from the platform, and now? Nothing of it is looked at before.
    verify(headers, raw)

    # 2. Is it what we sold? The signature says who wrote it, not that it is true for us.
    event = json.loads(raw)
    if event["type"] != "payment.succeeded":
        return  # heard, and nothing to book: it may come late, and never undoes a payment
    order = event["data"]["out_trade_no"]
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", order):
        raise Refused("out_trade_no is none of ours")
    amount = int((ORDERS / order).read_text())  # raises when there is no such order
    if event["data"]["amount"] != amount:  # whole cents, never floating point
        raise Refused(f"order {order} has another amount")

    # 3. Book it once, durably, before the answer.
    book(order, headers["webhook-id"])


def verify(headers, raw):
    """Raises unless the signature covers id, timestamp and the very bytes of the body, and the timestamp is now."""
    ident, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not re.fullmatch(r"[0-9]{1,12}", timestamp) or abs(time.time() - int(timestamp)) > CLOCK_SECONDS_MAX:
        raise Refused("the timestamp is missing, too old or too new")
    text = f"{ident}.{timestamp}.".encode() + raw
    want = "v1," + base64.b64encode(hmac.new(KEY, text, hashlib.sha256).digest()).decode()
    # Several while a key is being rotated. compare_digest takes as long for a nearly right one as for a wrong one.
    given = headers.get("webhook-signature", "").split(" ")
    if not any(hmac.compare_digest(want.encode(), one.encode()) for one in given):
        raise Refused("the signature does not verify")


def book(order, notify_id):
    """Creates the file that says an order is paid; that can be done once only, however many notifications arrive
    at a time. In your database it is a unique key on out_trade_no, in one transaction with the rest."""
    paid = ORDERS / f"{order}.paid"
    try:
        file = paid.open("x")
    except FileExistsError:
        return  # a duplicate is a success
    print(f"booked {order}", file=sys.stderr, flush=True)
    with file:
        file.write(notify_id)
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9000"))), Merchant)
    print(f"listening on http://127.0.0.1:{server.server_port}", file=sys.stderr, flush=True)
    server.serve_forever()
