// Command go is the smallest correct receiver of profile alipay in Go, with the standard library alone.
//
//	PUBLIC_KEY=paynotify.pem APP_ID=2021000000000001 ORDERS=orders PORT=9000 go run .
//
// PUBLIC_KEY is the file with public_key of GET /v1/merchants/{mch_id}/public-key, APP_ID the merchant's
// app_id, and ORDERS the books: a folder with a file for each order, named by its out_trade_no, holding its
// amount (88.88).
//
// Start reading at handle.
package main

import (
	"cmp"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := serve(log); err != nil {
		log.Error("cannot serve", "error", err)
		os.Exit(1)
	}
}

func serve(log *slog.Logger) error {
	key, err := readKey(os.Getenv("PUBLIC_KEY"))
	if err != nil {
		return err
	}
	s := &shop{key: key, appID: os.Getenv("APP_ID"), orders: os.Getenv("ORDERS"), log: log}
	listener, err := net.Listen("tcp", "127.0.0.1:"+cmp.Or(os.Getenv("PORT"), "9000"))
	if err != nil {
		return err
	}
	log.Info("listening", "url", "http://"+listener.Addr().String())
	server := &http.Server{Handler: http.HandlerFunc(s.notify), ReadTimeout: 10 * time.Second}
	return server.Serve(listener)
}

func readKey(file string) (*rsa.PublicKey, error) {
	text, err := os.ReadFile(file) //nolint:gosec // whoever starts it names the file
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("PUBLIC_KEY is no PEM file")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("PUBLIC_KEY is no RSA key")
	}
	return public, nil
}

type shop struct {
	key           *rsa.PublicKey
	appID, orders string
	log           *slog.Logger
}

// notify answers one word, and nothing else.
func (s *shop) notify(w http.ResponseWriter, r *http.Request) {
	const bodyBytesMax = 64 << 10
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyBytesMax))
	if err == nil {
		err = s.handle(string(raw))
	}
	answer := "success"
	if err != nil {
		s.log.Warn("refused", "error", err)
		answer = "fail"
	}
	io.WriteString(w, answer) //nolint:errcheck // who did not hear it sends again
}

var orderNumber = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`) // it becomes a file's name

func (s *shop) handle(raw string) error {
	// 1. Is it from the platform? Nothing of it is looked at before.
	p, err := s.verified(raw)
	if err != nil {
		return err
	}

	// 2. Is it ours, and what we sold? The signature says who wrote it, not that it is true for us.
	if p["app_id"] != s.appID {
		return errors.New("it is for another app_id")
	}
	order := p["out_trade_no"]
	if !orderNumber.MatchString(order) {
		return errors.New("out_trade_no is none of ours")
	}
	amount, err := os.ReadFile(filepath.Join(s.orders, order))
	if err != nil {
		return fmt.Errorf("there is no such order: %w", err)
	}
	if strings.TrimSpace(string(amount)) != p["total_amount"] { // as text, never as float
		return fmt.Errorf("order %s has another amount", order)
	}
	if status := p["trade_status"]; status != "TRADE_SUCCESS" && status != "TRADE_FINISHED" {
		return nil // heard, and nothing to book: it may come late, and never undoes a payment
	}

	// 3. Book it once, durably, before the answer.
	return s.book(order, p["trade_no"])
}

// verified reads the fields of a form and checks their signature: sign and sign_type taken out, sorted by
// name, joined as name=value with &, RSA over SHA-256.
func (s *shop) verified(raw string) (map[string]string, error) {
	form, err := url.ParseQuery(raw)
	if err != nil {
		return nil, errors.New("it is no form")
	}
	sign, err := base64.StdEncoding.DecodeString(form.Get("sign"))
	if err != nil {
		return nil, errors.New("sign is not base64")
	}
	p, pairs := make(map[string]string, len(form)), make([]string, 0, len(form))
	for name, values := range form {
		if len(values) > 1 {
			return nil, errors.New("a parameter stands twice") // one would be verified and the other used
		}
		p[name] = values[0]
		if name != "sign" && name != "sign_type" {
			pairs = append(pairs, name+"\x00"+values[0]) // sorts by name alone
		}
	}
	slices.Sort(pairs)
	for i := range pairs {
		pairs[i] = strings.Replace(pairs[i], "\x00", "=", 1)
	}
	sum := sha256.Sum256([]byte(strings.Join(pairs, "&")))
	if rsa.VerifyPKCS1v15(s.key, crypto.SHA256, sum[:], sign) != nil {
		return nil, errors.New("the signature does not verify")
	}
	return p, nil
}

// book creates the file that says an order is paid; that can be done once only, however many notifications
// arrive at a time. In your database it is a unique key on out_trade_no, in one transaction with the rest.
func (s *shop) book(order, tradeNo string) error {
	paid := filepath.Join(s.orders, order+".paid")
	file, err := os.OpenFile(paid, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // a duplicate is a success
	}
	if err != nil {
		return err
	}
	s.log.Info("booked", "out_trade_no", order)
	_, err = file.WriteString(tradeNo)
	return errors.Join(err, file.Sync(), file.Close())
}
