package habits

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// composed is what compose.yaml says, as far as it is about us.
type composed struct {
	Services map[string]struct {
		Image       string            `yaml:"image"`
		Command     []string          `yaml:"command"`
		Environment map[string]string `yaml:"environment"`
		Volumes     []string          `yaml:"volumes"`
		Ports       []string          `yaml:"ports"`
	} `yaml:"services"`
}

// What compose.yaml recommends is what the store asks for, and everything it names exists.
func TestCompose(t *testing.T) {
	var c composed
	if err := yaml.Unmarshal([]byte(readRoot(t, "compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"redis", "node1", "node2", "prometheus", "grafana"} {
		if _, ok := c.Services[name]; !ok {
			t.Errorf("there is no service %s", name)
		}
	}
	redis := strings.Join(c.Services["redis"].Command, " ")
	for _, want := range []string{"--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"} {
		if !strings.Contains(redis, want) {
			t.Errorf("Redis is started without %s", want)
		}
	}
	example := readRoot(t, "paynotify.example.yaml")
	for key := range c.Services["node1"].Environment {
		name, ours := strings.CutPrefix(key, "PAYNOTIFY_")
		last := strings.ToLower(name[strings.LastIndex(name, "_")+1:])
		if !ours || !strings.Contains(example, last+":") && !strings.Contains(example, last+`"`) {
			t.Errorf("the nodes get %s, of which paynotify.example.yaml knows nothing", key)
		}
	}
	for name, service := range c.Services {
		if service.Image != "paynotify" && (!strings.Contains(service.Image, ":") ||
			strings.HasSuffix(service.Image, ":latest")) {
			t.Errorf("%s: image %q is not pinned", name, service.Image)
		}
		for _, port := range service.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to the network", name, port)
			}
		}
		for _, volume := range service.Volumes {
			from, _, _ := strings.Cut(volume, ":")
			if !strings.HasPrefix(from, "./") {
				continue
			}
			if _, err := os.Stat(filepath.Join("../..", from)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	metrics := c.Services["node1"].Environment["PAYNOTIFY_METRICS_LISTEN"]
	_, port, _ := strings.Cut(metrics, ":")
	var scrape struct {
		Jobs []struct {
			Static []struct {
				Targets []string `yaml:"targets"`
			} `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(readRoot(t, "examples/compose/prometheus.yaml")), &scrape); err != nil {
		t.Fatal(err)
	}
	want := []string{"node1:" + port, "node2:" + port}
	if len(scrape.Jobs) != 1 || !slices.Equal(scrape.Jobs[0].Static[0].Targets, want) {
		t.Errorf("Prometheus scrapes %+v, want %v", scrape.Jobs, want)
	}
}
