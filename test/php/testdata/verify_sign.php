<?php
// Word for word from a widely copied tutorial ("对接支付宝接口时异步回调和同步回调的区别与作用", 2023), only its line
// breaks put back. It signs sign_type too, and what it does to a trailing "&" is its own: merchants run this.
function verifySign($params, $publicKey) {
    $sign = $params['sign']; // 签名参数
    unset($params['sign']); // 剔除签名参数
    ksort($params); // 按照参数名进行升序排序
    $data = '';
    foreach ($params as $key => $value) {
        $data .= $key . '=' . $value . '&';
    }
    $data = rtrim($data, '&');
    // 使用openssl_verify函数验签
    $result = openssl_verify($data, base64_decode($sign), $publicKey, OPENSSL_ALGO_SHA256);
    return $result == 1;
}
