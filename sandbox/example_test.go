package sandbox_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"paynotify/sandbox"
)

func ExampleMerchant() {
	shop := &sandbox.Merchant{Reply: "flaky:2", Profile: "form"}
	if err := shop.Start(nil); err != nil {
		fmt.Println(err)
		return
	}
	defer shop.Close()

	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 3 {
		res, err := client.Post(shop.URL()+"notify", "application/x-www-form-urlencoded",
			strings.NewReader("notify_id=n1&total_amount=88.88"))
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		fmt.Printf("%s: ", body)
		h := shop.Hits()[shop.Count()-1]
		fmt.Println(h.Posts, h.Duplicate, h.Signature)
	}
	fmt.Println(shop.Booked("n1"))
	// Output:
	// fail: 1 false unsigned
	// success: 2 false unsigned
	// success: 3 true unsigned
	// true
}
