package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"paynotify/store/sqlitestore"
)

// newFsckCommand verifies the embedded store.
func newFsckCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "fsck",
		Short: "Verify every record of an embedded store that nobody serves",
		Long: `Verify the embedded store: the database's structure, and the checksum of every record. It changes
nothing. Exit code 0 when all is well, 65 when something is damaged, 75 while a server has the store.`,
		Example: "  paynotify fsck --store sqlite:/var/lib/paynotify.db",
		Args:    needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := configOf(cmd)
			if err != nil {
				return err
			}
			return fsck(cmd, cfg)
		},
	}
	configFlags(c)
	return c
}

func fsck(cmd *cobra.Command, cfg Config) error {
	path, err := storePath(cfg.Store)
	if err != nil {
		p := usagef("fsck verifies an embedded store, and this one is on Redis")
		p.do = "redis-check-aof and redis-check-rdb verify Redis's files; paynotify doctor checks how it is set up"
		return p
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		p := &problem{code: exitNotFound, what: "there is no store " + path}
		p.do = "name it with --store sqlite:FILE"
		return p
	}
	report, err := sqlitestore.Fsck(path)
	if err != nil {
		return storeProblem(path, err)
	}
	if err := printReport(cmd.OutOrStdout(), path, &report, wantsJSON(cmd)); err != nil {
		return err
	}
	if !report.Sound() {
		return silent{exitData}
	}
	return nil
}

// printReport says what was looked at and what was found.
func printReport(w io.Writer, path string, r *sqlitestore.Report, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(struct {
			Store         string   `json:"store"`
			Sound         bool     `json:"sound"`
			Merchants     int      `json:"merchants"`
			Notifications int      `json:"notifications"`
			Attempts      int      `json:"attempts"`
			Integrity     []string `json:"integrity"`
			Damaged       []string `json:"damaged"`
			DamagedTotal  int      `json:"damaged_total"`
		}{
			path, r.Sound(), r.Merchants, r.Notifications, r.Attempts, append([]string{}, r.Integrity...),
			append([]string{}, r.Damaged...), r.DamagedTotal,
		})
	}
	for _, line := range r.Integrity {
		fmt.Fprintln(w, "structure: "+printable(line))
	}
	for _, record := range r.Damaged {
		fmt.Fprintln(w, "damaged: "+printable(record))
	}
	verdict := "sound"
	if !r.Sound() {
		verdict = fmt.Sprintf("%d damaged records, %d faults of the structure; restore a backup, or serve it: "+
			"damaged notifications are quarantined", r.DamagedTotal, len(r.Integrity))
	}
	_, err := fmt.Fprintf(w, "%s: %d merchants, %d notifications, %d attempts: %s\n", path, r.Merchants,
		r.Notifications, r.Attempts, verdict)
	return err
}
