package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"paynotify/dispatcher/egress"
	"paynotify/profile"
	"paynotify/store"
)

// The bare loop is what the engine is compared with: a process that signs the same messages with the same
// code, POSTs them with the same HTTP client to the same merchant, reads the reply and keeps nothing. It
// waits for a line on stdin before it starts and prints one when it is done.

func newBenchBareCommand() *cobra.Command {
	var url string
	var n int64
	var conns int
	cmd := &cobra.Command{
		Use: "bare", Short: "The loop that bench compares with", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in := bufio.NewScanner(cmd.InOrStdin())
			fmt.Fprintln(cmd.OutOrStdout(), "ready")
			if !in.Scan() {
				return errors.New("not told to start")
			}
			if err := bareLoop(url, n, conns); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "done")
			return nil
		},
	}
	cmd.Flags().StringVar(&url, "url", "", "the merchant")
	cmd.Flags().Int64Var(&n, "messages", 0, "how many to send")
	cmd.Flags().IntVar(&conns, "connections", 0, "how many at once")
	return cmd
}

func bareLoop(url string, n int64, conns int) error {
	rules := egress.Rules{Dev: true}
	target, refused := rules.CheckURL(url)
	if refused != nil {
		return refused
	}
	client := egress.New(egress.Options{Rules: rules})
	defer client.Close()
	p, _ := profile.ByName("alipay_mapi")
	m := &store.Merchant{MchID: "bare", Profile: p.Name, NotifyURL: url}
	keys, err := profile.LoadKeys(p, m, []profile.Material{{Secret: "benchbenchbenchbenchbenchbench00"}})
	if err != nil {
		return err
	}
	var next atomic.Int64
	var loops sync.WaitGroup
	errs := make(chan error, conns)
	for range conns {
		loops.Go(func() {
			for i := next.Add(1); i <= n; i = next.Add(1) {
				if err := barePost(client, target, p, m, keys, i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	loops.Wait()
	close(errs)
	return <-errs
}

func barePost(
	client *egress.Client, target *egress.Target, p *profile.Profile, m *store.Merchant, keys *profile.Keys,
	i int64,
) error {
	now := time.Now()
	msg, err := profile.Encode(p, profile.Input{
		Notification: &store.Notification{
			NotifyID: store.NewID(now, 0), MchID: m.MchID, Profile: p.Name, NotifyType: p.NotifyType,
			OutTradeNo: orderNo(i), Params: json.RawMessage(benchParams), CreatedAt: now,
		},
		Merchant: m, Keys: keys, Now: now,
	})
	if err != nil {
		return err
	}
	header := make([]egress.Header, len(msg.Header))
	for j, h := range msg.Header {
		header[j] = egress.Header(h)
	}
	r := client.Do(context.Background(), &egress.Request{
		Pool: "bare", Target: target, Method: msg.Method, Header: header, Body: msg.Body,
		Deadline: now.Add(15 * time.Second),
	})
	if r.Fault != "" || string(r.Body) != "success" {
		return fmt.Errorf("bare loop: %s %d %q", r.Fault, r.Status, r.Body)
	}
	return nil
}

// bare runs the bare loop in a process of its own and returns messages per second.
func (b *bench) bare(n int64) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	//nolint:gosec // this very binary
	cmd := exec.CommandContext(b.ctx, self, "bench", "bare", "--url", b.receiver.url+"/ok",
		"--messages", fmt.Sprint(n), "--connections", fmt.Sprint(b.conns))
	cmd.Stderr = os.Stderr
	endWithUs(cmd)
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		return 0, errors.Join(errors.New("the bare loop did not start"), cmd.Wait())
	}
	began := time.Now()
	if _, err := fmt.Fprintln(in, "go"); err != nil {
		return 0, err
	}
	if !lines.Scan() {
		return 0, errors.Join(errors.New("the bare loop failed"), cmd.Wait())
	}
	took := time.Since(began)
	return float64(n) / took.Seconds(), cmd.Wait()
}
