<?php
// The smallest correct receiver of profile alipay in plain PHP (8.1 or newer), without any SDK.
//
//   PUBLIC_KEY=paynotify.pem APP_ID=2021000000000001 ORDERS=orders php -S 127.0.0.1:9000 notify.php
//
// PUBLIC_KEY  the file with public_key of GET /v1/merchants/{mch_id}/public-key
// APP_ID      the merchant's app_id
// ORDERS      the books: a folder with a file for each order, named by its out_trade_no, holding its amount (88.88)
//
// It runs under php-fpm and Apache as it is. Nothing may stand before the first line or be printed by anything
// else: the answer is one word.
declare(strict_types=1);
ini_set('display_errors', '0'); // PHP's own messages go to the log, never into the answer

exit(handle((string) file_get_contents('php://input', length: 65536)) ? 'success' : 'fail');

function handle(string $raw): bool
{
    // 1. Is it from the platform? Nothing of it is looked at before.
    $p = fields($raw);
    if ($p === null || !verifies($p)) {
        return refuse('the signature does not verify');
    }

    // 2. Is it ours, and what we sold? The signature says who wrote it, not that it is true for us.
    $order = $p['out_trade_no'] ?? '';
    $book = getenv('ORDERS') . '/' . $order;
    if (($p['app_id'] ?? '') !== getenv('APP_ID')) {
        return refuse('it is for another app_id');
    }
    if (!preg_match('/\A[A-Za-z0-9_-]{1,64}\z/', $order) || !is_file($book)) {
        return refuse('there is no such order');
    }
    if (trim((string) file_get_contents($book)) !== ($p['total_amount'] ?? '')) { // as text, never as float
        return refuse("order $order has another amount");
    }
    if (!in_array($p['trade_status'] ?? '', ['TRADE_SUCCESS', 'TRADE_FINISHED'], true)) {
        return true; // heard, and nothing to book: it may come late, and never undoes a payment
    }

    // 3. Book it once, durably, before the answer.
    return booked($book . '.paid', $order, $p['trade_no'] ?? '');
}

// fields reads the body itself: $_POST renames parameters, and frameworks trim and escape its values.
function fields(string $raw): ?array
{
    $fields = [];
    foreach (explode('&', $raw) as $pair) {
        [$name, $value] = array_map('urldecode', explode('=', $pair, 2) + [1 => '']);
        if (isset($fields[$name])) {
            return null; // of two values one would be verified and the other used
        }
        $fields[$name] = $value;
    }
    return $fields;
}

function verifies(array $p): bool
{
    $sign = (string) base64_decode($p['sign'] ?? '', true);
    unset($p['sign'], $p['sign_type']);
    ksort($p, SORT_STRING);
    $pairs = [];
    foreach ($p as $name => $value) {
        $pairs[] = "$name=$value";
    }
    $key = (string) file_get_contents((string) getenv('PUBLIC_KEY'));
    // === 1, for openssl_verify says -1 when it could not check at all.
    return openssl_verify(implode('&', $pairs), $sign, $key, OPENSSL_ALGO_SHA256) === 1;
}

// booked creates the file that says an order is paid; that can be done once only, however many notifications
// arrive at a time. In your database it is a unique key on out_trade_no, in one transaction with the rest.
function booked(string $paid, string $order, string $tradeNo): bool
{
    $file = @fopen($paid, 'x');
    if ($file === false) {
        return is_file($paid); // a duplicate is a success, a full disk is not
    }
    error_log("booked $order");
    return fwrite($file, $tradeNo) !== false && fsync($file);
}

function refuse(string $why): bool
{
    error_log("refused: $why");
    return false;
}
