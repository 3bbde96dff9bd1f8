<?php
// Merchants of every dialect, for "php -S". The path says which one and with whose key: /MERCHANT/KEY; the
// keys lie in the folder KEYS as KEY.pem (public key), KEY.secret or KEY.whpk. What each makes of a
// notification stands in alipay.php, tutorials.php, wechat.php and webhooks.php; a refusal may say why in the
// header X-Why.
ini_set('display_errors', '0'); // notices go to the log, as in production
foreach (['verify_sign', 'alipay', 'tutorials', 'wechat', 'webhooks'] as $file) {
    require __DIR__ . "/$file.php";
}

[, $merchant, $key] = explode('/', parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) + ['', '', ''];
$handle = 'merchant_' . strtr($merchant, '-', '_');
if (!function_exists($handle)) {
    http_response_code(404);
    exit('no such merchant');
}
$handle(basename($key));

// key is a merchant's key of one kind.
function key_of($key, $kind) {
    return trim(file_get_contents(getenv('KEYS') . "/$key.$kind"));
}

// answer acknowledges as most providers want it, or refuses.
function answer($ok, $why = 'signature') {
    if (!$ok) {
        header("X-Why: $why");
    }
    echo $ok ? 'success' : 'fail';
}
