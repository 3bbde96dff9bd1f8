package profile

import "slices"

// all lists the profiles in the order of the tables that people read.
var all = []*Profile{
	&alipay,
	&alipayMapi,
	&form,
	&wechatV2,
	&wechatV3,
	&standard,
	&stripe,
	&jsonRSA,
	&epay,
	&jeepay,
}

var byName = func() map[string]*Profile {
	table := make(map[string]*Profile, len(all))
	for _, p := range all {
		table[p.Name] = p
	}
	return table
}()

// ByName finds a profile.
func ByName(name string) (*Profile, bool) {
	p, ok := byName[name]
	return p, ok
}

// All lists the profiles in the order of the tables that people read; the caller owns the slice.
func All() []*Profile { return slices.Clone(all) }
