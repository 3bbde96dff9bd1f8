<?php
// Merchants of Alipay, for "php -S". The path says which and with whose key: /tutorial/KEY, /v1/KEY; the public
// keys lie in the folder PUBLIC_KEYS as KEY.pem.
ini_set('display_errors', '0'); // notices go to the log, as in production
require __DIR__ . '/verify_sign.php';

// The algorithm of the official SDKs' rsaCheckV1: sign and sign_type removed, empty values skipped.
function verifyV1($params, $publicKey) {
    $sign = $params['sign'] ?? '';
    unset($params['sign'], $params['sign_type']);
    ksort($params);
    $pairs = [];
    foreach ($params as $name => $value) {
        if ($value !== '') {
            $pairs[] = "$name=$value";
        }
    }
    return openssl_verify(implode('&', $pairs), base64_decode($sign), $publicKey, OPENSSL_ALGO_SHA256) === 1;
}

// The tutorial's handler, with the key from a file and without its empty updateOrderStatus.
function handleAlipayNotify($verify, $publicKey) {
    $params = $_POST;
    if ($verify($params, $publicKey)) {
        $orderNo = $params['out_trade_no'];
        $tradeStatus = $params['trade_status'];
        error_log("verified $orderNo $tradeStatus");
        echo 'success';
    } else {
        echo 'fail';
    }
}

[, $merchant, $key] = explode('/', parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) + ['', '', ''];
$verify = ['tutorial' => 'verifySign', 'v1' => 'verifyV1'][$merchant] ?? null;
if ($verify === null) {
    http_response_code(404);
    exit('no such merchant');
}
handleAlipayNotify($verify, file_get_contents(getenv('PUBLIC_KEYS') . '/' . basename($key) . '.pem'));
