package retry_test

import (
	"fmt"
	"time"

	"paynotify/retry"
)

func ExampleParse() {
	for _, text := range []string{"alipay", "15s,1m,5m", "4", "Alipay"} {
		s, err := retry.Parse(text)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(s, "sends", s.Sends(), "times in", s.Sum(), "at", s.Offsets())
	}
	// Output:
	// alipay sends 8 times in 24h24m0s at [0s 4m0s 14m0s 24m0s 1h24m0s 3h24m0s 9h24m0s 24h24m0s]
	// 15s,1m,5m sends 4 times in 6m15s at [0s 15s 1m15s 6m15s]
	// schedule: wait 1 is "4": a wait needs a unit; write 4m or 4s
	// schedule: "Alipay" is not a name; write alipay
}

func ExampleSchedule_Next() {
	s, err := retry.Parse("alipay")
	if err != nil {
		panic(err)
	}
	planned := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, late := range []time.Duration{30 * time.Second, 20 * time.Minute} {
		at, _ := s.Next(1, planned, planned.Add(late))
		fmt.Println("the first send started", late, "late, the second is due at", at.Format(time.TimeOnly))
	}
	_, more := s.Next(8, planned, planned)
	fmt.Println("after the eighth there is another:", more)
	// Output:
	// the first send started 30s late, the second is due at 12:04:00
	// the first send started 20m0s late, the second is due at 12:24:00
	// after the eighth there is another: false
}
