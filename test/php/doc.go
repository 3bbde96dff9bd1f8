// Package php checks notifications against merchants' real code: PHP scripts run by "php -S" on a free port.
// Without php-cli the tests skip; "make test" installs it.
//
// It has tests only. Start reading at TestMerchants in php_test.go, then at testdata/merchants.php.
package php
