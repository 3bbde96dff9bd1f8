package console

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// look is one way to look at a page.
type look struct {
	name     string
	dark     bool
	width    int64
	language string // of the browser, and of the page
}

var looks = []look{
	{"light", false, 1280, "en"},
	{"dark", true, 1280, "en"},
	{"360px", false, narrow, "en"},
	{"zh-CN", false, 1280, "zh-CN"},
}

// narrow is the width of the smallest telephone that people have.
const narrow = 360

// shot is one page.
type shot struct {
	name, path string
	tab        *tab
	status     int
}

// TestScreenshots photographs every page in every look, into SCREENSHOTS where that is set. No page may be
// wider than a telephone, and each says which language it has.
func TestScreenshots(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	s := newStreet(w)
	staff, guest, portal := newTab(w), newTab(w), newTab(w)
	staff.logIn()
	portal.follow(w.call("POST", "/v1/merchants/paper-crane/portal-link", answer{}).text("url"))
	shots := []shot{
		{"overview", "", staff, 200},
		{"notifications", "notifications", staff, 200},
		{"filtered", "notifications?mch_id=old-mill&notify_state=pending", staff, 200},
		{"near-miss", "notifications/" + s.nearMiss, staff, 200},
		{"spent", "notifications/" + s.spent, staff, 200},
		{"merchants", "merchants", staff, 200},
		{"merchant", "merchants/paper-crane", staff, 200},
		{"paused", "merchants/blue-gym", staff, 200},
		{"schedule", "schedule", staff, 200},
		{"exhausted", "exhausted?plan=1&mch_id=north-parcel&reason=their+server+is+back", staff, 200},
		{"replay", "replays/" + s.replay, staff, 200},
		{"near-misses", "near-misses", staff, 200},
		{"audit", "audit", staff, 200},
		{"system", "system", staff, 200},
		{"problem", "merchants/nobody", staff, 404},
		{"login", "login", guest, 200},
		{"portal", "", portal, 200},
		{"portal-notifications", "notifications", portal, 200},
		{"portal-notification", "notifications/" + s.nearMiss, portal, 200},
	}
	for _, l := range looks {
		for _, b := range []*tab{staff, guest, portal} {
			b.wear(l)
		}
		for _, page := range shots {
			picture := page.take(l)
			file := filepath.Join(dir, fmt.Sprintf("%s.%s.png", page.name, l.name))
			if err := os.WriteFile(file, picture, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d pictures in %s", len(shots)*len(looks), dir)
}

// wear makes a tab look so.
func (b *tab) wear(l look) {
	b.t.Helper()
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	set(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	set(b, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{
		Headers: network.Headers{"Accept-Language": l.language},
	})
	b.resize(l.width)
}

// resize makes the tab so wide, as a telephone where it is narrow.
func (b *tab) resize(width int64) {
	b.t.Helper()
	var options []chromedp.EmulateViewportOption
	if width == narrow {
		options = append(options, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	b.do(chromedp.EmulateViewport(width, 900, options...))
}

// take opens the page, checks what holds for every one, and photographs it whole.
func (s shot) take(l look) []byte {
	b, t := s.tab, s.tab.t
	t.Helper()
	b.open(s.path)
	if status := b.status(); status != s.status {
		t.Errorf("%s: status %d, want %d", s.name, status, s.status)
	}
	if said := eval[string](b, `document.documentElement.lang`); said != l.language {
		t.Errorf("%s.%s says that its language is %q", s.name, l.name, said)
	}
	ink := `Number(getComputedStyle(document.body).color.match(/\d+/)[0])` // the red of it
	if bright := eval[bool](b, ink+` > 128`); bright != l.dark {
		t.Errorf("%s.%s is written in bright letters: %t", s.name, l.name, bright)
	}
	picture := get(b, chromedp.FullScreenshot(100))
	if l.width != narrow {
		b.resize(narrow) // in every language
		defer b.resize(l.width)
	}
	wide := eval[[]string](b, `(() => {
		if (document.scrollingElement.scrollWidth <= innerWidth && innerWidth === 360) return [];
		return [innerWidth + " px", document.scrollingElement.scrollWidth + " px"].concat(
			[...document.querySelectorAll("main *, header *, footer *")]
				.filter((e) => e.getBoundingClientRect().right > 360).slice(0, 5).map((e) => e.outerHTML.slice(0, 120)));
	})()`)
	if len(wide) > 0 {
		t.Errorf("%s.%s is wider than %d px: %s", s.name, l.name, narrow, strings.Join(wide, "\n\t"))
	}
	return picture
}
