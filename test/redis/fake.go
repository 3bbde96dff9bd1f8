package redis

import (
	"bufio"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Fake starts a server that answers every command with the same bytes, until the end of the test, and returns
// its address. An empty answer closes the connection instead.
func Fake(tb testing.TB, answer string) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	var (
		mu      sync.Mutex
		clients []net.Conn
	)
	tb.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range clients {
			_ = conn.Close()
		}
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			clients = append(clients, conn)
			mu.Unlock()
			go repeat(conn, answer)
		}
	}()
	return l.Addr().String()
}

// repeat answers commands until the client goes.
func repeat(conn net.Conn, answer string) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for skipCommand(r) == nil {
		if answer == "" {
			return
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
}

// skipCommand reads one command, an array of bulk strings.
func skipCommand(r *bufio.Reader) error {
	n, err := readCount(r, "*")
	for ; err == nil && n > 0; n-- {
		var length int
		if length, err = readCount(r, "$"); err == nil {
			_, err = r.Discard(length + len("\r\n"))
		}
	}
	return err
}

func readCount(r *bufio.Reader, kind string) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(line), kind))
}
