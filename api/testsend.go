package api

import (
	"context"

	"paynotify/profile"
	"paynotify/store"
)

// testOrder begins the order numbers of test sends, so that a merchant can tell them from its own.
const testOrder = "TEST-"

// TestSend accepts a notification that shows whether a merchant takes them: a payment that nobody made, in
// the words of the merchant's profile, with an order number that says so. It is a notification like every
// other.
func (s *Service) TestSend(ctx context.Context, mchID string) (Receipt, error) {
	m, p := s.merchant(ctx, mchID)
	if p != nil {
		return Receipt{}, p
	}
	prof, known := profile.ByName(m.Profile)
	if !known {
		return Receipt{}, s.unknownProfile(&m)
	}
	now := s.Now().UTC()
	sample := profile.SampleOf(prof)
	made, err := s.Accept(ctx, NotificationRequest{
		MchID: mchID, OutTradeNo: testOrder + now.Format("20060102-150405"),
		Params: sample.Params(sample.Paid, now, 1),
	}, "")
	if err != nil {
		return made, err
	}
	s.noteNotification(ctx, &store.Notification{NotifyID: made.NotifyID, MchID: mchID, State: made.NotifyState})
	return made, nil
}
