package migrate

import (
	"context"
	"fmt"

	"paynotify/store"
)

// read walks over everything in a store, merchants first, sums it up, and puts it into another one, unless
// that is nil.
func (m *migration) read(ctx context.Context, s, into store.Mover, step string) (r Result, err error) {
	for _, part := range []func(context.Context, store.Mover, store.Mover, *Result) error{
		m.readMerchants, m.readKeys, m.readAudit,
	} {
		if err := part(ctx, s, into, &r); err != nil {
			return r, err
		}
	}
	for cursor, more := "", true; more; more = cursor != "" {
		var ns []store.Moved
		if ns, cursor, err = s.Export(ctx, cursor, page); err != nil {
			return r, err
		}
		for i := range ns {
			r.Checksum.Add(&ns[i])
		}
		r.Notifications += len(ns)
		if into != nil {
			if err := m.wrote(into.Import(ctx, ns)); err != nil {
				return r, err
			}
		}
		m.Progress(Progress{Step: step, Done: r.Notifications, Total: m.total})
	}
	marks, err := s.Marks(ctx)
	for name, value := range marks {
		r.Checksum.AddMark(name, value)
	}
	r.Marks = len(marks)
	return r, err
}

func (m *migration) wrote(err error) error {
	if err != nil {
		return fmt.Errorf("into %s: %w", m.To, err)
	}
	return nil
}

func (m *migration) readMerchants(ctx context.Context, s, into store.Mover, r *Result) (err error) {
	for cursor, more := "", true; more; more = cursor != "" {
		var ms []store.MovedMerchant
		if ms, cursor, err = s.ExportMerchants(ctx, cursor, page); err != nil {
			return err
		}
		for i := range ms {
			if err := r.Checksum.AddMerchant(&ms[i]); err != nil {
				return err
			}
			if ms[i].Deleted {
				r.Deleted++
			} else {
				r.Merchants++
			}
		}
		if into != nil {
			if err := m.wrote(into.ImportMerchants(ctx, ms)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *migration) readKeys(ctx context.Context, s, into store.Mover, r *Result) error {
	ks, err := s.Keys(ctx)
	if err != nil {
		return err
	}
	for i := range ks {
		r.Checksum.AddKey(&ks[i])
	}
	r.Keys = len(ks)
	if into == nil {
		return nil
	}
	return m.wrote(into.ImportKeys(ctx, ks))
}

// readAudit goes on behind the last entry of each page, also where entries are missing.
func (m *migration) readAudit(ctx context.Context, s, into store.Mover, r *Result) error {
	for after := int64(0); ; {
		es, err := s.AuditLog(ctx, after, page)
		if err != nil || len(es) == 0 {
			return err
		}
		for i := range es {
			r.Checksum.AddAudit(&es[i])
		}
		r.Audit += len(es)
		after = es[len(es)-1].Seq
		if into != nil {
			if err := m.wrote(into.ImportAudit(ctx, es)); err != nil {
				return err
			}
		}
	}
}
