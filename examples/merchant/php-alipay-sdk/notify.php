<?php
// The smallest correct receiver of profile alipay with Alipay's own PHP SDK (AopClient of alipay-sdk-php-all).
//
//   ALIPAY_SDK=alipay-sdk-php-all/v2 PUBLIC_KEY=paynotify.txt APP_ID=2021000000000001 ORDERS=orders \
//     php -S 127.0.0.1:9000 notify.php
//
// ALIPAY_SDK  the folder that holds aop/AopClient.php
// PUBLIC_KEY  the file with public_key_base64 of GET /v1/merchants/{mch_id}/public-key: one line, no armour
// APP_ID      the merchant's app_id
// ORDERS      the books: a folder with a file for each order, named by its out_trade_no, holding its amount (88.88)
declare(strict_types=1);
ini_set('display_errors', '0'); // PHP's own messages go to the log, never into the answer

// The SDK's files print a line end when they are loaded (one begins before its <?php). It is kept out of the
// answer here; paynotify's default rule forgives it, other platforms may not.
ob_start();
require getenv('ALIPAY_SDK') . '/aop/AopClient.php';
$ok = handle($_POST);
ob_end_clean();
exit($ok ? 'success' : 'fail');

function handle(array $p): bool
{
    // 1. Is it from the platform? Nothing of it is looked at before.
    $aop = new AopClient();
    $aop->alipayrsaPublicKey = trim((string) file_get_contents((string) getenv('PUBLIC_KEY')));
    if (!is_string($p['sign'] ?? null) || !$aop->rsaCheckV1($p, null, 'RSA2')) { // V1, for V2 signs sign_type too
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
