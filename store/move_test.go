package store_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"paynotify/store"
)

// TestChecksumCoversEveryField changes each field of everything that is moved: a field that the checksum
// does not see could be lost by a migration without anybody noticing.
func TestChecksumCoversEveryField(t *testing.T) {
	m := store.Moved{Attempts: []store.MovedAttempt{{}, {Attempt: store.Attempt{TLS: &store.TLSInfo{}}}}}
	whole := sum(&m)
	each(t, reflect.ValueOf(&m).Elem(), "Moved", func(path string) {
		if sum(&m) == whole {
			t.Errorf("the checksum does not change with %s", path)
		}
	})
	mch := store.MovedMerchant{}
	mch.Probe = &store.Probe{}
	before := sumOf(t, &mch)
	each(t, reflect.ValueOf(&mch).Elem(), "MovedMerchant", func(path string) {
		if sumOf(t, &mch) == before {
			t.Errorf("the checksum does not change with %s", path)
		}
	})
}

func TestChecksumCoversAccess(t *testing.T) {
	k, e := store.APIKey{}, store.AuditEntry{}
	check := func(v reflect.Value, name string, sum func(c *store.Checksum)) {
		var before store.Checksum
		sum(&before)
		each(t, v, name, func(path string) {
			var after store.Checksum
			if sum(&after); after == before {
				t.Errorf("the checksum does not change with %s", path)
			}
		})
	}
	check(reflect.ValueOf(&k).Elem(), "APIKey", func(c *store.Checksum) { c.AddKey(&k) })
	check(reflect.ValueOf(&e).Elem(), "AuditEntry", func(c *store.Checksum) { c.AddAudit(&e) })
	name, value := "n", "v"
	check(reflect.ValueOf(&name).Elem(), "mark's name", func(c *store.Checksum) { c.AddMark(name, value) })
	check(reflect.ValueOf(&value).Elem(), "mark's value", func(c *store.Checksum) { c.AddMark(name, value) })
}

func sum(m *store.Moved) (c store.Checksum) {
	c.Add(m)
	return c
}

func sumOf(t *testing.T, m *store.MovedMerchant) (c store.Checksum) {
	if err := c.AddMerchant(m); err != nil {
		t.Fatal(err)
	}
	return c
}

// each sets one field after the other, calls check, and sets it back.
func each(t *testing.T, v reflect.Value, path string, check func(path string)) {
	t.Helper()
	if path == "MovedMerchant.Merchant.BreakerOpen" {
		return // what a lane has seen does not move
	}
	old := reflect.New(v.Type()).Elem()
	old.Set(v)
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = time.Unix(0, 1)
	case *json.RawMessage:
		*x = json.RawMessage(`{"a":1}`)
	case *[]byte:
		*x = []byte{0}
	case *[32]byte:
		x[31] = 1
	default:
		switch v.Kind() {
		case reflect.String:
			v.SetString("x")
		case reflect.Int, reflect.Int64:
			v.SetInt(7)
		case reflect.Float64:
			v.SetFloat(7)
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Map:
			v.Set(reflect.MakeMap(v.Type()))
			v.SetMapIndex(reflect.ValueOf("a"), reflect.ValueOf("b"))
		case reflect.Struct:
			for i := range v.NumField() {
				each(t, v.Field(i), path+"."+v.Type().Field(i).Name, check)
			}
			return
		case reflect.Pointer:
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
				break
			}
			each(t, v.Elem(), path, check)
			v.SetZero()
		case reflect.Slice:
			if v.Len() > 0 {
				each(t, v.Index(v.Len()-1), path+"[]", check)
			}
			v.Set(reflect.MakeSlice(v.Type(), v.Len()+1, v.Len()+1))
		default:
			t.Fatalf("%s is a %s, which this test cannot change", path, v.Kind())
		}
	}
	check(path)
	v.Set(old)
}

func TestChecksumTellsTwins(t *testing.T) {
	m := store.Moved{}
	m.NotifyID = "a"
	var once, twice store.Checksum
	once.Add(&m)
	twice.Add(&m)
	twice.Add(&m)
	if once == twice || twice == (store.Checksum{}) {
		t.Error("a record that is there twice leaves no trace in the checksum")
	}
	nilDigest, emptyDigest := store.Moved{}, store.Moved{}
	emptyDigest.ContentDigest = []byte{}
	if sum(&nilDigest) == sum(&emptyDigest) {
		t.Error("no digest and an empty one have the same checksum")
	}
}

func TestCheckMarks(t *testing.T) {
	marks := map[string]string{}
	check := func() error {
		return store.CheckMarks(func(name string) (string, error) { return marks[name], nil })
	}
	if err := check(); err != nil {
		t.Errorf("without marks: %v", err)
	}
	marks[store.MetaMovingRun] = "x"
	if err := check(); err != nil {
		t.Errorf("the source of a migration that did not end: %v", err)
	}
	marks[store.MetaMovedTo] = "redis://r:6379/0"
	var moved *store.MovedError
	if err := check(); !errors.As(err, &moved) || moved.To != "redis://r:6379/0" {
		t.Errorf("moved away: %v", err)
	}
	marks[store.MetaMigrating] = "sqlite:/a.db"
	var moving *store.MigratingError
	if err := check(); !errors.As(err, &moving) || moving.From != "sqlite:/a.db" {
		t.Errorf("being filled again: %v", err)
	}
	broken := errors.New("broken")
	if err := store.CheckMarks(func(string) (string, error) { return "", broken }); !errors.Is(err, broken) {
		t.Errorf("unreadable: %v", err)
	}
}
