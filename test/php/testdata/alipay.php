<?php
// Merchants of Alipay and of what grew around it: forms and queries, sorted by name and joined.

// The tutorial's handler, with the key from a file and without its empty updateOrderStatus.
function merchant_tutorial($key) {
    answer(verifySign($_POST, key_of($key, 'pem')));
}

// The algorithm of the official SDKs' rsaCheckV1: sign and sign_type removed, empty values skipped.
function verifyV1($params, $publicKey) {
    $sign = $params['sign'] ?? '';
    $text = joined($params);
    return openssl_verify($text, base64_decode($sign), $publicKey, OPENSSL_ALGO_SHA256) === 1;
}

function joined($params) {
    unset($params['sign'], $params['sign_type']);
    ksort($params);
    $pairs = [];
    foreach ($params as $name => $value) {
        if ($value !== '') {
            $pairs[] = "$name=$value";
        }
    }
    return implode('&', $pairs);
}

function merchant_v1($key) {
    answer(verifyV1($_POST, key_of($key, 'pem')));
}

// The checks in the order in which Alipay's guides and many tutorials ask for them: signature, app_id,
// trade_status, then the order itself, its amount and its seller.
function merchant_checks($key) {
    $orders = ['20261121-1' => ['amount' => '88.88', 'seller' => '2088101106499364']];
    if (!verifyV1($_POST, key_of($key, 'pem'))) {
        return answer(false, 'signature');
    }
    if ($_POST['app_id'] !== '2021000000000001') {
        return answer(false, 'app_id');
    }
    if ($_POST['trade_status'] !== 'TRADE_FINISHED' && $_POST['trade_status'] !== 'TRADE_SUCCESS') {
        return answer(false, 'trade_status');
    }
    $order = $orders[$_POST['out_trade_no']] ?? null;
    if ($order === null) {
        return answer(false, 'out_trade_no');
    }
    if ($_POST['total_amount'] !== $order['amount']) {
        return answer(false, 'total_amount');
    }
    answer($_POST['seller_id'] === $order['seller'], 'seller_id');
}

// The legacy gateway: MD5, and the question back to the gateway whether the notify_id is one of its own,
// while the notification waits for its answer. Without KEY.gateway nobody is asked.
function merchant_mapi($key) {
    if (md5(joined($_POST) . key_of($key, 'secret')) !== $_POST['sign']) {
        return answer(false);
    }
    if (!file_exists(getenv('KEYS') . "/$key.gateway")) {
        return answer(true);
    }
    $gateway = key_of($key, 'gateway') . '/gateway.do?service=notify_verify';
    $said = file_get_contents("$gateway&partner=$key&notify_id={$_POST['notify_id']}");
    answer(preg_match('/true$/i', $said) === 1, 'notify_verify');
}

// epay as its own PHP SDK verifies.
function merchant_epay($key) {
    $get = $_GET;
    $text = '';
    ksort($get);
    foreach ($get as $name => $value) {
        if ($name !== 'sign' && $name !== 'sign_type' && $value !== '') {
            $text .= "$name=$value&";
        }
    }
    $sign = md5(substr($text, 0, -1) . key_of($key, 'secret'));
    answer($sign === $_GET['sign'] && $_GET['trade_status'] === 'TRADE_SUCCESS');
}

// epay as shop systems verify: request parameters, loose comparisons, a trade_no wanted.
function merchant_epay_shop($key) {
    $data = array_merge($_GET, $_POST);
    ksort($data);
    reset($data);
    $text = '';
    foreach ($data as $name => $value) {
        if ($value == '' || $name == 'sign' || $name == 'sign_type') {
            continue;
        }
        if ($text != '') {
            $text .= '&';
        }
        $text .= "$name=$value";
    }
    if (!$data['trade_no'] || md5($text . key_of($key, 'secret')) != $data['sign']) {
        return answer(false);
    }
    answer(true);
}

// Jeepay: pairs sorted without regard to case, upper-case MD5; its documents want capitals in the answer.
function merchant_jeepay($key) {
    $pairs = [];
    foreach ($_POST as $name => $value) {
        if ($name !== 'sign' && $value !== '') {
            $pairs[] = "$name=$value&";
        }
    }
    sort($pairs, SORT_FLAG_CASE | SORT_STRING);
    $sign = strtoupper(md5(implode('', $pairs) . 'key=' . key_of($key, 'secret')));
    echo $sign === $_POST['sign'] ? 'SUCCESS' : 'FAIL';
}
