package redisstore

import (
	"crypto/sha1" //nolint:gosec // EVALSHA names scripts by it
	"embed"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// script is a script on the server, known by the SHA-1 of its text.
type script struct{ name, text, sha string }

// newScript puts files of lua/ behind what all scripts share; the last one is the script itself.
func newScript(names ...string) *script {
	var text strings.Builder
	for _, name := range append([]string{"clock", "lane"}, names...) {
		text.WriteString(luaFile(name))
	}
	return compile(names[len(names)-1], text.String())
}

// newHotScript is newScript for a script that runs for every notification and seldom needs the functions of
// lua/lane.lua: it has them behind a function, cold.
func newHotScript(name string) *script {
	lane := luaFile("lane")
	var export strings.Builder
	for _, f := range laneFunctions.FindAllStringSubmatch(lane, -1) {
		fmt.Fprintf(&export, "%s = %s, ", f[1], f[1])
	}
	return compile(name, luaFile("clock")+"local function cold()\n"+lane+"return {"+export.String()+"}\nend\n"+
		luaFile(name))
}

var laneFunctions = regexp.MustCompile(`(?m)^local function (\w+)\(`)

func compile(name, text string) *script {
	sum := sha1.Sum([]byte(text)) //nolint:gosec // not a secret
	return &script{name: name, text: text, sha: hex.EncodeToString(sum[:])}
}

func luaFile(name string) string {
	b, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // embedded at build time
	}
	return string(b)
}

var (
	acceptScript   = newHotScript("accept")
	claimScript    = newScript("claim")
	changeScript   = newHotScript("change")
	wakesScript    = newScript("wakes")
	merchantScript = newScript("merchant")
	sendingScript  = newScript("sending")
)
