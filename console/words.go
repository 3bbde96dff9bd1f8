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

// mustWords reads all files of a language. There is one for each area of the console, and one, common.json,
// for what several areas say; a text stands in one of them.
func mustWords(lang string) *words {
	w := &words{lang: lang, texts: map[string]string{}}
	folder := "words/" + lang
	files, err := wordFiles.ReadDir(folder)
	for i := 0; i < len(files) && err == nil; i++ {
		err = w.add(folder + "/" + files[i].Name())
	}
	if err != nil {
		panic(fmt.Sprintf("words of %s: %v", lang, err))
	}
	return w
}

func (w *words) add(file string) error {
	text, err := wordFiles.ReadFile(file)
	if err != nil {
		return err
	}
	var more map[string]string
	if err := json.Unmarshal(text, &more); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for english, other := range more {
		if _, twice := w.texts[english]; twice {
			return fmt.Errorf("%s: %q stands in another file too", file, english)
		}
		w.texts[english] = other
	}
	return nil
}

// wordsFor is the language that a browser likes best of those that there are.
func wordsFor(acceptLanguage string) *words {
	best, liked := english, 0.0
	for part := range strings.SplitSeq(acceptLanguage, ",") {
		tag, options, _ := strings.Cut(strings.ToLower(strings.TrimSpace(part)), ";")
		q := 1.0
		if value, given := strings.CutPrefix(strings.TrimSpace(options), "q="); given {
			if _, err := fmt.Sscanf(value, "%g", &q); err != nil {
				continue
			}
		}
		main, _, _ := strings.Cut(tag, "-")
		if w := map[string]*words{"en": english, "zh": chinese}[main]; w != nil && q > liked {
			best, liked = w, q
		}
	}
	return best
}

// phrase marks a text that is translated later, so that the tests find it and demand its translation.
func phrase(text string) string { return text }

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
