package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
)

// buildVersion is what this binary was built from, as the Go linker recorded it.
type buildVersion struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readVersion() buildVersion {
	v := buildVersion{
		Version: "devel", Revision: "unknown", Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if m := info.Main.Version; m != "" && m != "(devel)" {
		v.Version = m
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

// buildInfo is the metric that says which build runs, always 1.
func buildInfo(v buildVersion) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "paynotify", Name: "build_info", Help: "Which build this is; always 1.",
		ConstLabels: prometheus.Labels{"version": v.Version, "revision": v.Revision, "goversion": v.Go},
	}, func() float64 { return 1 })
}

// newVersionCommand prints what this binary was built from.
func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print version, revision and Go version",
		Args:  needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := readVersion()
			if wantsJSON(cmd) {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(v)
			}
			changed := ""
			if v.Modified {
				changed = " (modified)"
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "paynotify %s revision %s%s %s %s\n",
				v.Version, v.Revision, changed, v.Go, v.Platform)
			return err
		},
	}
}
