<?php
// Merchants of WeChat Pay: XML with MD5 or HMAC-SHA256, and JSON with an encrypted resource.

// Version 2 as the official demo does it: simplexml to JSON to an array.
function merchant_wechat_v2($key) {
    $xml = simplexml_load_string(file_get_contents('php://input'), 'SimpleXMLElement', LIBXML_NOCDATA);
    wechat_v2_answer(json_decode(json_encode($xml), true), $key);
}

// Version 2 read by hand, as small shops do.
function merchant_wechat_v2_regexp($key) {
    $element = '~<(\w+)>(?:<!\[CDATA\[(.*?)\]\]>|([^<]*))</\1>~s';
    $xml = preg_replace('~^\s*<xml>(.*)</xml>\s*$~s', '$1', file_get_contents('php://input'));
    preg_match_all($element, $xml, $found, PREG_SET_ORDER);
    $data = [];
    foreach ($found as $match) {
        $text = isset($match[3]) ? html_entity_decode($match[3], ENT_QUOTES | ENT_XML1) : $match[2];
        $data[$match[1]] = $text;
    }
    wechat_v2_answer($data, $key);
}

function wechat_v2_answer($data, $key) {
    $sign = $data['sign'] ?? '';
    unset($data['sign']);
    ksort($data);
    $text = '';
    foreach ($data as $name => $value) {
        if ($value !== '' && !is_array($value)) {
            $text .= "$name=$value&";
        }
    }
    $secret = key_of($key, 'secret');
    $text = trim($text, '&') . "&key=$secret";
    $hmac = ($data['sign_type'] ?? 'MD5') === 'HMAC-SHA256';
    $want = strtoupper($hmac ? hash_hmac('sha256', $text, $secret) : md5($text));
    [$code, $message] = $sign === $want ? ['SUCCESS', 'OK'] : ['FAIL', 'signature'];
    echo "<xml><return_code><![CDATA[$code]]></return_code>" .
        "<return_msg><![CDATA[$message]]></return_msg></xml>";
}

// Version 3: the signature of the headers over the body, then the resource, then an answer of status alone.
function merchant_wechat_v3($key) {
    $body = file_get_contents('php://input');
    $text = $_SERVER['HTTP_WECHATPAY_TIMESTAMP'] . "\n" . $_SERVER['HTTP_WECHATPAY_NONCE'] . "\n$body\n";
    $signature = base64_decode($_SERVER['HTTP_WECHATPAY_SIGNATURE']);
    $ok = openssl_verify($text, $signature, key_of($key, 'pem'), OPENSSL_ALGO_SHA256) === 1;
    if ($ok) {
        $resource = json_decode($body, true)['resource'];
        $sealed = base64_decode($resource['ciphertext']);
        $plain = openssl_decrypt(
            substr($sealed, 0, -16), 'aes-256-gcm', key_of($key, 'secret'), OPENSSL_RAW_DATA,
            $resource['nonce'], substr($sealed, -16), $resource['associated_data']
        );
        $ok = $plain !== false && isset(json_decode($plain, true)['out_trade_no']);
    }
    http_response_code($ok ? 204 : 401);
    if (!$ok) {
        echo '{"code":"FAIL","message":"signature"}';
    }
}
