// Package php checks notifications against merchants' real code: PHP scripts run by "php -S" on a free port,
// for every dialect. What they acknowledge they must refuse when one byte of it is another. Without php-cli
// the tests skip; "make test" installs it.
//
// It has tests only. Start reading at dialects in dialects_test.go, then at testdata/merchants.php.
package php
