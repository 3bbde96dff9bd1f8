<?php
// Merchants of Standard Webhooks and of Stripe: they answer by status.

function webhook_answer($ok) {
    http_response_code($ok ? 200 : 400);
}

// tokens are the signatures of one version in webhook-signature.
function tokens($version) {
    $found = [];
    foreach (explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE']) as $token) {
        [$name, $signature] = explode(',', $token, 2);
        if ($name === $version) {
            $found[] = base64_decode($signature);
        }
    }
    return $found;
}

function webhook_text() {
    $timestamp = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'];
    if (abs(time() - $timestamp) > 300) {
        return null;
    }
    return "{$_SERVER['HTTP_WEBHOOK_ID']}.$timestamp." . file_get_contents('php://input');
}

function merchant_v1_hmac($key) {
    $secret = base64_decode(substr(key_of($key, 'secret'), strlen('whsec_')));
    $want = hash_hmac('sha256', webhook_text(), $secret, true);
    foreach (tokens('v1') as $signature) {
        if (hash_equals($want, $signature)) {
            return webhook_answer(true);
        }
    }
    webhook_answer(false);
}

function merchant_v1a($key) {
    $public = base64_decode(substr(key_of($key, 'whpk'), strlen('whpk_')));
    foreach (tokens('v1a') as $signature) {
        if (sodium_crypto_sign_verify_detached($signature, webhook_text(), $public)) {
            return webhook_answer(true);
        }
    }
    webhook_answer(false);
}

function merchant_stripe($key) {
    $timestamp = 0;
    $signatures = [];
    foreach (explode(',', $_SERVER['HTTP_STRIPE_SIGNATURE']) as $pair) {
        [$name, $value] = explode('=', $pair, 2);
        if ($name === 't') {
            $timestamp = $value;
        } elseif ($name === 'v1') {
            $signatures[] = $value;
        }
    }
    $want = hash_hmac('sha256', "$timestamp." . file_get_contents('php://input'), key_of($key, 'secret'));
    webhook_answer(abs(time() - $timestamp) <= 300 && in_array($want, $signatures, true));
}
