// Package notices follows what happens to notifications and merchants, and tells the platform and its
// operators.
//
// The platform is told by events (notification.spent, notification.exhausted, merchant.held), operators by
// notices and by lines of the log. Both are ordinary notifications in the dialect `standard`, to the two
// merchants that the configuration makes (store.CallbackMerchant, store.NoticesMerchant): they are durable,
// signed, sent again on the schedule and listed like any other, and there is no second sender.
//
// No event is lost and none is told twice. A Follower reads the attempts of all merchants in the order in
// which they were settled, from a position that is durable. It accepts what they say under an idempotency
// key that follows from the event, and moves its position afterwards: what a crash between the two has
// repeated is recognised by the key. One of many processes on a Redis follows at a time, under a lease in
// the same text as the position, so that one compare-and-set fences both.
//
// Notices are for people, so they are few instead: a merchant's failures are told at four rungs (50, 70, 90
// and 100 % of its last sends), what repeats is gathered, and what is too much at once becomes one. Their
// windows are in memory: a restart begins them anew.
//
// Where neither the platform nor operators are to be told, no feed is read: the dispatcher tells a Follower
// what it settles (See), and notices are lines of the log.
//
// Start reading at Follower.Run.
package notices
