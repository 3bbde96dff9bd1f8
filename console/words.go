package console

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

//go:embed words
var wordFiles embed.FS

// words are the texts of one language: the English text is the key. A text that is not there stays English.
type words struct {
	lang  string // as <html lang> says
	texts map[string]string
}

var (
	english = &words{lang: "en"}
	chinese = mustWords("zh-CN")
)

func mustWords(lang string) *words {
	w := &words{lang: lang}
	text, err := wordFiles.ReadFile("words/" + lang + ".json")
	if err == nil {
		err = json.Unmarshal(text, &w.texts)
	}
	if err != nil {
		panic(fmt.Sprintf("words of %s: %v", lang, err))
	}
	return w
}

// wordsFor is the best language that a browser takes.
func wordsFor(acceptLanguage string) *words {
	for _, part := range strings.Split(acceptLanguage, ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(strings.ToLower(part)), ";")
		switch {
		case strings.HasPrefix(tag, "en"):
			return english
		case strings.HasPrefix(tag, "zh"):
			return chinese
		}
	}
	return english
}

// t translates a text, which has the verbs of fmt where values stand.
func (w *words) t(text string, args ...any) string {
	if other, known := w.texts[text]; known {
		text = other
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

// call is t as templates call it.
func (w *words) call(args []any) (any, error) {
	if len(args) > 0 {
		if text, ok := args[0].(string); ok {
			return w.t(text, args[1:]...), nil
		}
	}
	return nil, errors.New("t takes a text, and what stands in it")
}
