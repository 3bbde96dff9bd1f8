package interop

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	gopay "github.com/go-pay/gopay/wechat"
	"github.com/google/go-cmp/cmp"
	"github.com/wechatpay-apiv3/wechatpay-go/utils"
)

const (
	randomSets   = 500 // parameter sets a dialect
	randomLetIn  = 400 // of which accept must let in so many: it may refuse what breaks SDKs, and little else
	batchSets    = 125 // sets in one request
	randomMax    = 90 * time.Second
	randomShown  = 3    // refused sets that are shown
	shownCharsOf = 2000 // of each
)

// randomly says how a dialect is tried with random parameters.
type randomly struct {
	dialect string
	params  func(g *generator) object
	// content is what a merchant reads out of the request: names and values; nil = it is not compared.
	content func(m known, r received) (object, error)
	// sent is what should be read where the caller gave params.
	sent func(params object) object
}

var randomDialects = []randomly{
	{dialect: "alipay", params: (*generator).form, content: formContent, sent: asText},
	{dialect: "alipay-query", params: (*generator).form, content: formContent, sent: asText},
	{dialect: "alipay-gbk", params: (*generator).gbk},
	{dialect: "wechat_v2-md5", params: (*generator).wechatV2, content: xmlContent, sent: asText},
	{dialect: "wechat_v2-hmac", params: (*generator).wechatV2, content: xmlContent, sent: asText},
	{dialect: "wechat_v3-certificate", params: (*generator).json, content: resourceContent, sent: asJSON},
	{dialect: "standard", params: (*generator).json, content: memberContent("data"), sent: asJSON},
	{dialect: "standard-svix", params: (*generator).json, content: memberContent("data"), sent: asJSON},
	{dialect: "stripe", params: (*generator).json, content: memberContent("data", "object"), sent: asJSON},
}

// TestRandomParameters sends hundreds of random parameter sets of each dialect.
func TestRandomParameters(t *testing.T) {
	seed := seedOf(t)
	for i, r := range randomDialects {
		t.Run(r.dialect, func(t *testing.T) {
			t.Parallel()
			g := &generator{rand.New(rand.NewPCG(seed, uint64(i))), pieces}
			sets := make([]object, randomSets)
			for i := range sets {
				sets[i] = r.params(g)
			}
			letIn := r.verify(t, sets)
			t.Logf("seed %d: %d of %d sets let in", seed, letIn, len(sets))
			if letIn < randomLetIn {
				t.Errorf("accept let in %d of %d sets, want at least %d", letIn, len(sets), randomLetIn)
			}
		})
	}
}

// TestEveryCharacter sends all characters of the first two planes of Unicode and some beyond, each inside a
// value. Accept lets them in, but for those that XML has not.
func TestEveryCharacter(t *testing.T) {
	for _, r := range randomDialects {
		if r.dialect == "alipay-gbk" {
			continue
		}
		t.Run(r.dialect, func(t *testing.T) {
			t.Parallel()
			sets := characters(strings.HasPrefix(r.dialect, "wechat_v2"))
			if letIn := r.verify(t, sets); letIn != len(sets) {
				t.Errorf("accept let in %d of %d sets", letIn, len(sets))
			}
		})
	}
}

// characters are parameters whose values hold them all. The name is one that every dialect has, or takes.
func characters(xml bool) (sets []object) {
	const inSet = 256
	for from := rune(0); from < 0x20000; from += inSet {
		var b strings.Builder
		for r := from; r < from+inSet; r++ {
			if utf8.ValidRune(r) && !(xml && notXML(r)) {
				b.WriteString("a" + string(r))
			}
		}
		if b.Len() > 0 {
			sets = append(sets, object{"attach": b.String() + "a"})
		}
	}
	return append(sets, object{"attach": "a\U00020000\U0002FFFF\U000E0001\U000FFFFF\U0010FFFFa"})
}

// notXML is what XML 1.0 has not, and the carriage return, which its parsers change.
func notXML(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' || r == '\uFFFE' || r == '\uFFFF'
}

// verify sends parameter sets in batches. Whatever accept lets in, every SDK of the dialect accepts, and the
// merchant reads what the caller gave. It returns how many were let in.
func (r randomly) verify(t *testing.T, sets []object) (letIn int) {
	t.Helper()
	d := dialectOf(t, r.dialect)
	m := register(t, d.settings)
	jury := newJury(t, d, m)
	if len(jury.members) < 2 {
		t.Logf("without Node only %s verifies", jury.members[0].name)
	}
	shop.serve(m, jury)
	given := acceptAll(t, m, sets)
	jury.wait(t, m, len(given))
	for _, refusal := range jury.refusals(randomShown) {
		t.Error(refusal)
	}
	if r.content != nil {
		r.compare(t, m, given)
	}
	return len(given)
}

func seedOf(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("INTEROP_SEED")
	if text == "" {
		return 20261121
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("INTEROP_SEED: %v", err)
	}
	return seed
}

func dialectOf(t *testing.T, name string) dialect {
	t.Helper()
	for _, d := range dialects {
		if d.name == name {
			return d
		}
	}
	t.Fatalf("no dialect %s", name)
	return dialect{}
}

// acceptAll sends the sets in batches and returns those that were let in, by out_trade_no. What is not let
// in must be a 422 that names a parameter.
func acceptAll(t *testing.T, m known, sets []object) map[string]object {
	t.Helper()
	given, numbered := map[string]object{}, 0
	for chunk := range slices.Chunk(sets, batchSets) {
		var batch []object
		for _, params := range chunk {
			numbered++
			no := fmt.Sprintf("r-%d", numbered)
			batch = append(batch, object{"mch_id": m.MchID, "out_trade_no": no, "params": params})
		}
		for i, result := range acceptBatch(t, batch) {
			no, _ := batch[i]["out_trade_no"].(string)
			params, _ := batch[i]["params"].(object)
			switch {
			case result.Status == http.StatusAccepted:
				given[no] = params
			case result.Status != http.StatusUnprocessableEntity || len(result.Problem.Errors) == 0 ||
				!strings.HasPrefix(result.Problem.Errors[0].Location, "body.params."):
				t.Errorf("set %s: %d %s", no, result.Status, result.Problem)
			}
		}
	}
	return given
}

// batchResult is what became of one notification of a batch.
type batchResult struct {
	Status   int
	NotifyID string `json:"notify_id"`
	Problem  problem
}

func acceptBatch(t *testing.T, batch []object) []batchResult {
	t.Helper()
	var answer struct{ Results []batchResult }
	status := call(t, http.MethodPost, "/v1/notifications/batch", object{"notifications": batch}, &answer)
	if status != http.StatusOK || len(answer.Results) != len(batch) {
		t.Fatalf("the batch answers %d with %d results", status, len(answer.Results))
	}
	return answer.Results
}

// compare has the merchant read every request.
func (r randomly) compare(t *testing.T, m known, given map[string]object) {
	t.Helper()
	shown := 0
	for _, request := range shop.of(m) {
		got, err := r.content(m, request)
		if err != nil {
			t.Fatalf("%v in %q", err, request.body)
		}
		no, _ := got["out_trade_no"].(string)
		for name, want := range r.sent(given[no]) {
			if diff := cmp.Diff(want, got[name]); diff != "" && shown < randomShown {
				shown++
				t.Errorf("%s: parameter %s, given and received: %s", no, name, diff)
			}
		}
	}
}

// jury is a merchant that asks all SDKs of a dialect, and acknowledges when all accept.
type jury struct {
	dialect dialect
	members []juror

	mu      sync.Mutex
	refused []string
}

type juror struct {
	name    string
	handler http.Handler
}

func newJury(t *testing.T, d dialect, m known) *jury {
	t.Helper()
	j := &jury{dialect: d}
	for _, s := range d.sdks {
		if s.node && nodeAbsent() != nil {
			continue
		}
		j.members = append(j.members, juror{s.name, s.handler(t, m)})
	}
	return j
}

func (j *jury) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request := receive(r)
	for _, member := range j.members {
		status, reply := request.replay(member.handler)
		if j.dialect.acked(status, reply) {
			continue
		}
		body := request.body[:min(len(request.body), shownCharsOf)]
		j.mu.Lock()
		j.refused = append(j.refused, fmt.Sprintf("%s refuses: %d %s\n%q", member.name, status, reply, body))
		j.mu.Unlock()
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if strings.HasPrefix(j.dialect.name, "wechat_v2") {
		gopayV2Success(w)
		return
	}
	fmt.Fprint(w, "success")
}

// refusals are some of the refusals, and how many there were.
func (j *jury) refusals(most int) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.refused) <= most {
		return j.refused
	}
	return append(j.refused[:most:most], fmt.Sprintf("and %d more refusals", len(j.refused)-most))
}

// wait returns when all notifications have been received and none is pending; one that was refused stays so.
func (j *jury) wait(t *testing.T, m known, count int) {
	t.Helper()
	for deadline := time.Now().Add(randomMax); time.Now().Before(deadline); time.Sleep(10 * pollGap) {
		if len(shop.of(m)) < count {
			continue
		}
		var page struct{ Notifications []json.RawMessage }
		call(t, http.MethodGet, "/v1/notifications?notify_state=pending&limit=1&mch_id="+m.MchID, nil, &page)
		if len(page.Notifications) == 0 || len(j.refusals(1)) > 0 {
			return
		}
	}
	t.Errorf("the merchant has received %d of %d notifications after %v", len(shop.of(m)), count, randomMax)
}

func formContent(_ known, r received) (object, error) {
	form, err := url.ParseQuery(string(r.body))
	content := object{}
	for name, values := range form {
		content[name] = strings.Join(values, " and ")
	}
	return content, err
}

func xmlContent(_ known, r received) (object, error) {
	m, err := gopay.ParseNotifyToBodyMap(r.request())
	return object(m), err
}

func resourceContent(m known, r received) (object, error) {
	var envelope struct {
		Resource struct {
			Ciphertext, Nonce string
			AssociatedData    string `json:"associated_data"`
		}
	}
	if err := json.Unmarshal(r.body, &envelope); err != nil {
		return nil, err
	}
	e := envelope.Resource
	plain, err := utils.DecryptAES256GCM(m.Secret, e.AssociatedData, e.Nonce, e.Ciphertext)
	if err != nil {
		return nil, err
	}
	return decode([]byte(plain))
}

// memberContent reads a member of a JSON body, some levels down.
func memberContent(path ...string) func(known, received) (object, error) {
	return func(_ known, r received) (object, error) {
		content, err := decode(r.body)
		for _, name := range path {
			content, _ = content[name].(object)
		}
		return content, err
	}
}

// decode keeps numbers as they are written.
func decode(text []byte) (object, error) {
	var content object
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	return content, d.Decode(&content)
}

// asJSON is what the caller sent, as JSON.
func asJSON(params object) object {
	text, err := json.Marshal(params)
	if err != nil {
		panic(err) // it has been sent
	}
	content, err := decode(text)
	if err != nil {
		panic(err)
	}
	return content
}

// asText is what becomes of it in a form or XML: text, and nothing where there is nothing.
func asText(params object) object {
	content := object{}
	for name, value := range asJSON(params) {
		if value == nil || value == "" {
			content[name] = nil
			continue
		}
		content[name] = fmt.Sprint(value)
	}
	return content
}
