-- Every script begins with this file. KEYS[1] is the prefix of the shard's keys, ARGV[1] the shift of the
-- clock (0 but in tests), every reply begins with now. Instants are microseconds since 1970, which a Lua
-- number holds exactly.
local P = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2] + ARGV[1]
local NEVER = 9007199254740991
-- So many scores of order numbers share a set: 512 sets for a shard. Up to 128 entries each, a million
-- notifications in 16 shards, they stay packed, at a third of the memory, and cost less to add to.
local ORDERS = 8796093022208
local AWAKE = 15000000 -- store.AwakeLeaseMax
local FAILURES, DELAY = 5, 900000000 -- store.BreakerFailures, store.BreakerDelayMax
