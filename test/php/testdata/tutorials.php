<?php
// Merchants that followed a tutorial which is no provider's.

// The receiver of the unsigned form: it has nothing to check but that the order is there.
function merchant_form($key) {
    $order = isset($_POST['order_id'], $_POST['amount'], $_POST['status']);
    answer($order && $_POST['status'] === '1', 'order');
}

// A receiver that checks the header signature and nothing else: it covers the bytes as they came, of any
// body, or of the query of a GET.
function merchant_header($key) {
    $timestamp = $_SERVER['HTTP_X_NOTIFY_TIMESTAMP'];
    $nonce = $_SERVER['HTTP_X_NOTIFY_NONCE'];
    $get = $_SERVER['REQUEST_METHOD'] === 'GET';
    $sent = $get ? $_SERVER['QUERY_STRING'] : file_get_contents('php://input');
    $text = "$timestamp\n$nonce\n$sent\n";
    $signature = base64_decode($_SERVER['HTTP_X_NOTIFY_SIGNATURE']);
    $ok = openssl_verify($text, $signature, key_of($key, 'pem'), OPENSSL_ALGO_SHA256);
    answer($ok === 1 && abs(time() - $timestamp) <= 300);
}

// From a tutorial ("php实现异步通知", 2023), but that the key is handed in, openssl_verify told which algorithm,
// and the answer printed: the signature stands inside the data that it should sign, so no honest one fits.
function tutorial_notify($data, $public_key) {
    // 验证签名
    $signature = base64_decode($data['signature']);
    if (!openssl_verify(json_encode($data), $signature, $public_key, OPENSSL_ALGO_SHA256)) {
        return 'false';
    }
    return 'success';
}

function merchant_json_literal($key) {
    echo tutorial_notify($_POST, key_of($key, 'pem'));
}

// The tutorial's notify with what makes it work: the signature taken out of the data, the result compared with
// 1 (openssl_verify says -1 for an error, which is true), and the answer printed.
function mended_notify($data, $public_key, $algorithm) {
    $signature = base64_decode($data['signature']);
    unset($data['signature']);
    if (openssl_verify(json_encode($data), $signature, $public_key, $algorithm) !== 1) {
        exit('false');
    }
    echo 'success';
}

function merchant_json_form($key) {
    mended_notify($_POST, key_of($key, 'pem'), OPENSSL_ALGO_SHA256);
}

function merchant_json_form_sha1($key) {
    mended_notify($_POST, key_of($key, 'pem'), OPENSSL_ALGO_SHA1);
}

function merchant_json_body($key) {
    $data = json_decode(file_get_contents('php://input'), true);
    mended_notify($data, key_of($key, 'pem'), OPENSSL_ALGO_SHA256);
}
